package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Path is where metrics are served: nothing else is.
const Path = "/metrics"

// What a client may take, and take up. A scrape of some thousand lines takes
// milliseconds.
const (
	headerTimeout = 5 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute // scrapes are a minute apart, usually less
	maxHeader     = 8 << 10
	maxConns      = 32
	maxScrapes    = 4
)

// Server serves a Set by HTTP, at an address of its own.
type Server struct {
	address string
	http    *http.Server
	ready   chan struct{} // closed when it serves
	ln      net.Listener  // only after ready
}

// NewServer returns a server for an address, host:port, and acquires nothing. The
// port 0 is a free one, which Addr tells. What goes wrong goes to log.
func NewServer(address string, s *Set, log *slog.Logger) (*Server, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("metrics: %q is no address: want host:port", address)
	}
	errorLog := slog.NewLogLogger(log.With("for", "metrics").Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		ErrorLog: errorLog, ErrorHandling: promhttp.HTTPErrorOnError, MaxRequestsInFlight: maxScrapes,
	}))
	return &Server{
		address: address, ready: make(chan struct{}),
		http: &http.Server{
			Handler: mux, ErrorLog: errorLog, MaxHeaderBytes: maxHeader,
			ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		},
	}, nil
}

// Run binds the address and serves until ctx ends; then it cuts connections,
// joins what it started and returns nil. It may run once.
func (s *Server) Run(ctx context.Context) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	s.ln = netutil.LimitListener(ln, maxConns)
	close(s.ready)
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.ln) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		s.stop()
		err = <-served
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("metrics: %w", err)
}

// lastScrape is how long a scrape that has begun may take once Run is to end.
const lastScrape = time.Second

// stop lets scrapes finish that have begun, and cuts those that take long.
func (s *Server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), lastScrape)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
}

// Ready returns a channel that is closed once the address is bound.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// URL returns where metrics are, only after Ready.
func (s *Server) URL() string { return "http://" + s.ln.Addr().String() + Path }
