package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/stats"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// WorkerConfig configures a Worker. Endpoints are tcp://host:port or
// ipc:///path, of the proxies and fronts that bind them.
type WorkerConfig struct {
	// Stage is the stage's name, in logs and errors.
	Stage string
	// Handler does the jobs.
	Handler Handler
	// Slots is the number of jobs done at a time; 0: one per core.
	Slots int
	// Timeout and MaxHung are a pool's: the stage's timeout, as its proxy has it.
	Timeout time.Duration
	MaxHung int
	// Upstream is the downstream endpoint of the stage's own proxy: where
	// jobs come from. Of several proxies they are named with commas between, and
	// each slot is at home at one of them at a time. A host name stands for as
	// many as it has addresses.
	Upstream string
	// Next are the upstream endpoints of the next stages' proxies, by stage,
	// likewise; a single stage under "" takes whatever is forwarded.
	Next map[string]string
	// FrontGrace is how long a front may be away before its jobs are given up; 0:
	// loopback.DefaultFrontGrace, negative: for ever, unless another is in its
	// place.
	FrontGrace time.Duration
	// Fronts are the loopback endpoints of the fronts, at least one.
	Fronts []loopback.FrontEndpoint
	// Interrupts are the interrupt endpoints of the fronts.
	Interrupts []string
	// Spool are the directories in which fronts put large bodies.
	Spool []string
	// MTLS is who the worker is at tls+tcp endpoints, and whom it meets there; nil
	// where there are none.
	MTLS *MTLS
	// Logger gets what is wrong; nil: nothing.
	Logger *slog.Logger
	// Transport bounds the connections; its zero value has the defaults.
	Transport transport.Options
}

// MTLS is a certificate, and the names of whom its holder meets.
type MTLS = mtls.Config

// Worker does the jobs of one stage in a process of its own: a Pool whose
// jobs, answers and interrupts travel over ZeroMQ.
type Worker struct {
	pool  *Pool
	link  *link
	back  *loopback.Sender
	hears *loopback.Subscriber
	next  []*loopback.Proxies
	id    *mtls.Identity // nil: no endpoint wants one

	fronts *loopback.Attendance

	stop     chan struct{} // closed by Shutdown
	stopOnce sync.Once
	done     chan struct{} // closed when Run has returned
}

// NewWorker validates cfg and acquires nothing.
func NewWorker(cfg WorkerConfig) (*Worker, error) {
	if len(cfg.Fronts) == 0 {
		return nil, fmt.Errorf("pipeline: worker of stage %q has no loopback: name the endpoint of at least one front", cfg.Stage)
	}
	if cfg.Slots == 0 {
		cfg.Slots = runtime.GOMAXPROCS(0)
	}
	if cfg.Slots < 0 || cfg.Slots > MaxSlots {
		return nil, fmt.Errorf("pipeline: worker of stage %q has %d slots, want 1 to %d", cfg.Stage, cfg.Slots, MaxSlots)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	o := cfg.Transport
	o.Logger = cfg.Logger
	if o.Instance == 0 {
		o.Instance = loopback.NewInstance()
	}
	w := &Worker{stop: make(chan struct{}), done: make(chan struct{})}
	var err error
	if w.id, err = mtls.Optional(cfg.MTLS, o.Logger); err != nil {
		return nil, fmt.Errorf("pipeline: worker of stage %q: %w", cfg.Stage, err)
	}
	o.TLS = w.id
	return w, w.connect(cfg, o)
}

// connect makes the worker's parts.
func (w *Worker) connect(cfg WorkerConfig, o transport.Options) (err error) {
	if w.link, err = newLink(cfg.Upstream, cfg.Slots, o, cfg.Logger); err != nil {
		return err
	}
	w.link.refuse = w.refuse
	if w.back, err = loopback.NewSender(cfg.Fronts, o); err != nil {
		return err
	}
	next := make(map[string]loopback.Stage, len(cfg.Next))
	for name, endpoint := range cfg.Next {
		r, err := loopback.NewProxies(loopback.Endpoints(endpoint), o, nil)
		if err != nil {
			return fmt.Errorf("pipeline: downstream proxy %q: %w", name, err)
		}
		next[name] = r
		w.next = append(w.next, r)
	}
	w.pool, err = NewPool(PoolConfig{
		Stage:     cfg.Stage,
		Handler:   cfg.Handler,
		Slots:     cfg.Slots,
		Slot:      func(n int) loopback.Slot { return w.link.places[n] },
		Next:      next,
		Loopback:  w.back,
		ClockSkew: wire.ClockSkew,
		Timeout:   cfg.Timeout,
		MaxHung:   cfg.MaxHung,
		Spool:     cfg.Spool,
		Logger:    cfg.Logger,
	})
	if err != nil {
		return err
	}
	claims := loopback.NewClaimer(w.back, w.held)
	w.link.arrived = claims.Arrived
	w.fronts = loopback.NewAttendance(cfg.FrontGrace, w.pool)
	claims.Attend(w.fronts)
	for _, n := range w.next {
		n.OnLoss(claims.Lost)
	}
	w.hears, err = loopback.NewSubscriber(cfg.Interrupts, o, w.pool, claims)
	return err
}

// held calls add with the keys of a front's jobs that are here: in slots, and on
// their way to next stages.
func (w *Worker) held(front uint64, add func(wire.Key)) {
	w.link.held(add)
	for _, n := range w.next {
		n.Held(front, add)
	}
}

// refuse answers a job that cannot be done here.
func (w *Worker) refuse(job *loopback.Job, status int, reason string) {
	r := errorResponse(status, reason+" (request "+job.Info.RequestID()+")")
	_ = w.back.Answer(answerTo(job.Info, job.Payload, r), nil)
}

// lastWords is how long a hard stop may take to tell what became of the jobs
// that it cut short.
const lastWords = 250 * time.Millisecond

// Run works until Shutdown, or until ctx ends, which is the hard stop: then
// contexts of running jobs end, and Run returns once their handlers have. It
// joins all that it started. It may run once. The error is about certificates
// that cannot be read, or the pool's.
func (w *Worker) Run(ctx context.Context) error {
	defer close(w.done)
	if err := w.id.Load(); err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	network, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	defer func() {
		disconnect()
		parts.Wait()
	}()
	for _, f := range w.parts() {
		parts.Go(func() { _ = f(network) })
	}
	// No job comes any more once the link is cut, which a hard stop does first.
	linked, unlink := context.WithCancel(network)
	defer unlink()
	defer context.AfterFunc(ctx, unlink)()
	parts.Go(func() { w.link.run(linked) })
	parts.Go(func() {
		select {
		case <-w.stop:
			w.pool.Leave()
		case <-linked.Done():
		}
	})
	if err := w.pool.Run(ctx); err != nil {
		return err
	}
	if w.flush(ctx) == nil {
		return nil
	}
	last, cancel := context.WithTimeout(network, lastWords)
	defer cancel()
	_ = w.flush(last) // the pool has logged, or will, what does not leave
	return nil
}

// parts returns what runs beside the pool and the link.
func (w *Worker) parts() []func(context.Context) error {
	parts := []func(context.Context) error{w.back.Run, w.hears.Run, w.fronts.Run}
	for _, n := range w.next {
		parts = append(parts, n.Run)
	}
	return parts
}

// flush waits until all outcomes have reached the kernel.
func (w *Worker) flush(ctx context.Context) error {
	for _, n := range w.next {
		if err := n.Flush(ctx); err != nil {
			return err
		}
	}
	return w.back.Flush(ctx)
}

// Shutdown stops taking jobs, lets those that were taken finish, and waits
// until Run has returned or ctx ends. Cancel the context of Run for the hard
// stop.
func (w *Worker) Shutdown(ctx context.Context) error {
	w.stopOnce.Do(func() { close(w.stop) })
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pipeline: worker still busy: %w", context.Cause(ctx))
	}
}

// Stats returns the counters of the worker's pool.
func (w *Worker) Stats() PoolStats { return w.pool.Stats() }

// Took returns how long handlers took for their jobs, those left out that have
// not returned.
func (w *Worker) Took() stats.Distribution { return w.pool.Took() }

// Sockets is what a Worker's connections have.
type Sockets struct {
	Upstream   transport.Stats // to the proxies of next stages
	Downstream transport.Stats // to the stage's own proxy
	Loopback   transport.Stats // to the fronts, for answers
	Interrupt  transport.Stats // to the fronts, for interrupts
}

// Sockets returns what the worker's connections have.
func (w *Worker) Sockets() Sockets {
	s := Sockets{Downstream: w.link.sockets(), Loopback: w.back.Sockets(), Interrupt: w.hears.Sockets()}
	for _, n := range w.next {
		s.Upstream = s.Upstream.Plus(n.Sockets())
	}
	return s
}
