// Package httpfront is the HTTP server in front of a pipeline: it turns
// requests into jobs, waits for their answers in a pending table, and writes
// them to the clients, in order, bounded in every respect.
//
// The server is fasthttp. Connections are accepted and wrapped here, for what
// fasthttp leaves open: deadlines that cost nothing per request, clients that
// leave while their request runs, lingering closes, a drain that ends when the
// last answer has left.
package httpfront

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/spool"
	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"
)

// ErrRan is returned by the second Run of a Front: it serves once.
var ErrRan = errors.New("httpfront: the front has run already")

// Front serves HTTP. Its methods are safe for concurrent use.
type Front struct {
	cfg    Config
	log    *slog.Logger
	server *fasthttp.Server
	access *accessLog    // nil: off
	certs  *certificates // nil: no TLS; read by Run

	compression *compression // nil: none

	conns     registry
	receiving receiving
	unsent    unsent
	refused   refused
	tooLate   atomic.Uint64 // requests that lanes refused
	watcher   *watcher
	chunks    sync.Pool     // of *[]byte, for streams
	pieces    sync.Pool     // of *[]byte, for bodies that are spooled
	spool     *spool.Spool  // nil: there is none
	stopped   atomic.Bool   // hard
	epoch     time.Time     // what the connections' clocks count from
	leaving   atomic.Bool   // not ready any more
	draining  atomic.Bool   // nothing is begun any more
	closing   chan struct{} // closed with draining
	ready     chan struct{} // closed when serving
	done      chan struct{} // closed when Run has ended

	mu       sync.Mutex // guards the fields below
	started  bool
	listener *net.TCPListener
	drainAt  time.Time // when leaving ends; zero: it has not begun
}

// New validates cfg and returns a front that has acquired nothing yet.
func New(cfg Config) (*Front, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	f := &Front{
		cfg: cfg, log: cfg.Logger, epoch: time.Now(),
		conns: newRegistry(cfg.MaxConns, cfg.MaxConnsPerClient), receiving: receiving{limit: cfg.MaxReceiving},
		unsent:  unsent{limit: cfg.MaxUnsent},
		refused: refused{often: rate.Sometimes{Interval: time.Second}},
		chunks:  sync.Pool{New: newChunk},
		pieces:  sync.Pool{New: newPiece},
		closing: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{}),
	}
	if cfg.AccessLog != nil {
		f.access = newAccessLog(cfg.AccessLog, cfg.Logger)
	}
	if cfg.Spool.Dir != "" {
		f.spool = spool.New(spool.Config{
			Dir: cfg.Spool.Dir, MaxBytes: cfg.Spool.MaxBytes, Instance: cfg.Table.Instance(),
			Patience: cfg.BodyTimeout, Logger: cfg.Logger,
		})
	}
	if cfg.Compression != nil {
		f.compression = newCompression(*cfg.Compression)
	}
	f.server = f.newServer()
	return f, nil
}

// newServer configures fasthttp. Timeouts are kept by the wrapped connections,
// which read bodies too.
//
// ReduceMemoryUsage gives buffers back between requests: an idle connection
// then costs 10 KiB instead of 31, and an answer leaves at once even when the
// next request has been read already, which fasthttp otherwise holds back.
func (f *Front) newServer() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      f.handle,
		ErrorHandler:                 f.refuse,
		HeaderReceived:               headerReceived,
		ConnState:                    changed,
		Logger:                       discard{},
		Concurrency:                  f.cfg.MaxConns + 1,
		MaxRequestsPerConn:           f.cfg.MaxRequestsPerConn,
		ReadBufferSize:               f.cfg.MaxHeaderBytes,
		WriteBufferSize:              8 << 10,
		ReduceMemoryUsage:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true, // does not quote the request in errors
	}
}

// discard is fasthttp's logger: what it logs are clients' errors, which they
// have been told.
type discard struct{}

func (discard) Printf(string, ...any) {}

// Run binds the address, serves until Shutdown or the end of ctx, and returns
// when every connection is closed and every goroutine has ended. The end of
// ctx cuts connections, and abandons their requests. It returns an error only
// where it could not start.
func (f *Front) Run(ctx context.Context) error {
	if err := f.start(); err != nil {
		return err
	}
	defer close(f.done)
	if f.cfg.TLS != nil {
		certs, err := loadCertificates(*f.cfg.TLS, f.log)
		if err != nil {
			return err
		}
		f.certs = certs
	}
	ln, err := f.listen(ctx)
	if err != nil || ln == nil {
		return err
	}
	w, err := newWatcher(&f.conns)
	if err != nil {
		_ = ln.Close()
		return fmt.Errorf("httpfront: watching connections: %w", err)
	}
	f.watcher = w
	if f.spool != nil {
		if err := f.spool.Open(); err != nil {
			_ = ln.Close()
			w.close()
			return fmt.Errorf("httpfront: %w", err)
		}
		defer f.spool.Close()
	}
	var helpers sync.WaitGroup
	helpers.Go(w.run)
	if f.access != nil {
		helpers.Go(f.access.run)
	}
	stop := context.AfterFunc(ctx, f.cut)
	close(f.ready)
	f.accept(ln)
	f.conns.wait()
	stop()
	w.close()
	if f.access != nil {
		f.access.close()
	}
	helpers.Wait()
	return nil
}

func (f *Front) start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.started {
		return ErrRan
	}
	f.started = true
	return nil
}

// listen binds the address, unless the front was shut down before.
func (f *Front) listen(ctx context.Context) (*net.TCPListener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.draining.Load() || ctx.Err() != nil {
		return nil, nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", f.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("httpfront: listen on %s: %w", f.cfg.Listen, err)
	}
	f.listener = ln.(*net.TCPListener)
	return f.listener, nil
}

// Ready returns a channel that is closed once the front accepts connections.
func (f *Front) Ready() <-chan struct{} { return f.ready }

// Addr returns the address listened on, or nil before Ready.
func (f *Front) Addr() net.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener == nil {
		return nil
	}
	return f.listener.Addr()
}

// URL returns where the front serves; only after Ready.
func (f *Front) URL() string {
	if f.cfg.TLS != nil {
		return "https://" + f.Addr().String()
	}
	return "http://" + f.Addr().String()
}

// Draining reports whether Shutdown has been called, or Run's ctx has ended.
func (f *Front) Draining() bool { return f.leaving.Load() }

// Shutdown ends the front gracefully. At once it is not ready any more, but
// goes on for Config.DrainDelay. Then no new connections are accepted, idle
// ones are closed, and the others with the answer to their current request. It
// returns when Run has ended, or when ctx has, with its error: then whatever is
// open stays so until Run's ctx ends. The pending table must still accept
// requests, since some may have been sent already.
func (f *Front) Shutdown(ctx context.Context) error {
	if delay := f.leave(); delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-f.done:
		}
	}
	if !f.drain() {
		return nil
	}
	f.conns.each((*conn).drain)
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("httpfront: draining with %d connections open: %w", f.conns.len(), context.Cause(ctx))
	}
}

// leave ends readiness, and returns how long requests are still taken.
func (f *Front) leave() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaving.Store(true)
	if !f.started {
		return 0
	}
	if f.drainAt.IsZero() {
		f.drainAt = time.Now().Add(f.cfg.DrainDelay)
	}
	return time.Until(f.drainAt)
}

// drain makes accept end, and reports whether Run was ever called.
func (f *Front) drain() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaving.Store(true)
	if f.draining.Swap(true) {
		return f.started
	}
	close(f.closing)
	if f.listener != nil {
		_ = f.listener.SetDeadline(time.Now()) // wakes accept
	}
	return f.started
}

// cut is the hard stop.
func (f *Front) cut() {
	f.drain()
	f.stopped.Store(true)
	f.conns.each((*conn).cut)
}

// clock returns the time since the front was made, for the connections'
// deadlines: cheaper than a full time.
func (f *Front) clock() time.Duration { return time.Since(f.epoch) }
