package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/proxy"
)

// ProxyConfig configures a Proxy. Endpoints are tcp://host:port or ipc:///path.
type ProxyConfig struct {
	// Stage names the stage, in logs and in the envelopes of its jobs.
	Stage string
	// Number says, from 1, which of several proxies of the stage it is, in
	// metrics; 0: the only one.
	Number int
	// Stages names the pipeline's stages, so that the answer to a job that went
	// around too often can name them; others are shown as hashes.
	Stages []string
	// MaxHops bounds how many stages one job may enter until it is in this one,
	// MaxVisits how often it may enter this one (508); 0: no bound.
	MaxHops, MaxVisits int
	// Upstream and Downstream are the endpoints that the proxy binds.
	Upstream, Downstream string
	// Fronts are the loopback endpoints of the fronts; without any, jobs that
	// are lost or refused get no answer, as with prime_server.
	Fronts []loopback.FrontEndpoint
	// Interrupts are the interrupt endpoints of the fronts; without any,
	// cancelled jobs stay queued.
	Interrupts []string
	// MaxQueue and MaxQueueBytes bound the queue for jobs that come straight
	// from a front (503); 0: DefaultMaxQueue, DefaultMaxQueueBytes. Jobs
	// between stages are refused when MaxForwarded more, or MaxForwardedBytes, wait;
	// 0: DefaultMaxForwarded, DefaultMaxForwardedBytes.
	MaxQueue          int
	MaxQueueBytes     int64
	MaxForwarded      int
	MaxForwardedBytes int64
	// Admission says which jobs of fronts are taken while there is room (503),
	// and NoWorkers whether they are while there are no workers.
	Admission Admission
	NoWorkers NoWorkers
	// Weights are the shares of the priority classes; nil:
	// proxy.DefaultWeights.
	Weights []int
	// Timeout is how long a worker may take for one job; 0: no bound but the
	// deadline. Repeat says which jobs another worker gets after that, or when
	// one is lost, and Attempts to how many in all; 0: DefaultAttempts.
	Timeout  time.Duration
	Repeat   Repeat
	Attempts int
	// FrontGrace is how long a front may be away before its jobs leave the queue;
	// 0: loopback.DefaultFrontGrace, negative: for ever, unless another is in its
	// place.
	FrontGrace time.Duration
	// Transport bounds the connections; its zero value has the defaults.
	Transport transport.Options
	// MTLS is who the part is at tls+tcp endpoints, and whom it meets there; nil
	// where there are none.
	MTLS *MTLS
	// Metrics of this process; nil: the proxy is not measured.
	Metrics *Metrics
	// Logger gets what is wrong; nil: nothing.
	Logger *slog.Logger
}

// Bounds of a proxy's queue by default: fronts admit less, but prime_server's
// have no bound of their own.
const (
	DefaultMaxQueue      = 50_000
	DefaultMaxQueueBytes = 1 << 30
)

// Bounds of what a proxy keeps besides, by default, until it refuses jobs of other
// stages: together with the above, ten fronts' requests of 50 parts each, or the
// bytes of six fronts.
const (
	DefaultMaxForwarded      = 500_000
	DefaultMaxForwardedBytes = 512 << 20
)

// Repeat says which of a stage's jobs may run again when they may have run.
type Repeat = proxy.Repeat

// What a stage may say.
const (
	RepeatSafe   = proxy.RepeatSafe   // those whose front marked them
	RepeatAlways = proxy.RepeatAlways // all of them
	RepeatNever  = proxy.RepeatNever  // none
)

// Admission says which jobs of fronts a stage takes while its queue has room.
type Admission = proxy.Admission

// What a stage may say.
const (
	AdmitQueue    = proxy.AdmitQueue    // all
	AdmitDeadline = proxy.AdmitDeadline // those that can be done by their deadline
)

// NoWorkers says what becomes of jobs of fronts while a stage has no workers.
type NoWorkers = proxy.NoWorkers

// What a stage may say.
const (
	NoWorkersWait   = proxy.NoWorkersWait   // they wait for one
	NoWorkersRefuse = proxy.NoWorkersRefuse // they are refused
)

// Attempts by default, and at most.
const (
	DefaultAttempts = proxy.DefaultAttempts
	MaxAttempts     = proxy.MaxAttempts
)

// Proxy is the proxy of one stage with its way back to the fronts.
type Proxy struct {
	proxy *proxy.Proxy
	back  *loopback.Sender
	hears *loopback.Subscriber
	id    *mtls.Identity // nil: no endpoint wants one

	fronts *loopback.Attendance
	life   lifetime
}

// NewProxy validates cfg and acquires nothing.
func NewProxy(cfg ProxyConfig) (*Proxy, error) {
	o := cfg.Transport
	if o.Logger = cfg.Logger; o.Logger != nil {
		o.Logger = o.Logger.With("stage", cfg.Stage) // the proxy's own lines have it
	}
	if o.Instance == 0 {
		o.Instance = loopback.NewInstance()
	}
	names, err := hashes(cfg.Stages)
	if err != nil {
		return nil, err
	}
	id, err := mtls.Optional(cfg.MTLS, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("cluster: proxy of stage %q: %w", cfg.Stage, err)
	}
	o.TLS = id
	c := cfg.config(o, names)
	var claims *loopback.Claimer
	c.Arrived = func(key wire.Key) { claims.Arrived(key) }
	c.Lost = func() { claims.Lost() }
	p := &Proxy{id: id, life: newLifetime()}
	if p.back, err = loopback.NewSender(cfg.Fronts, o); err != nil {
		return nil, err
	}
	if len(cfg.Fronts) > 0 {
		c.Answerer, c.Render = p.back, refusal
	}
	if p.proxy, err = proxy.New(c); err != nil {
		return nil, err
	}
	p.fronts = loopback.NewAttendance(cfg.FrontGrace, p.proxy)
	if len(cfg.Fronts) > 0 {
		claims = loopback.NewClaimer(p.back, p.proxy.Held)
		claims.Attend(p.fronts)
	}
	if p.hears, err = loopback.NewSubscriber(cfg.Interrupts, o, p.proxy, claims); err != nil {
		return nil, err
	}
	return p, p.measure(&cfg)
}

// config returns the configuration of the proxy itself, without its way back.
func (c *ProxyConfig) config(o transport.Options, names map[uint32]string) proxy.Config {
	return proxy.Config{
		Stage:      c.Stage,
		Upstream:   c.Upstream,
		Downstream: c.Downstream,
		Transport:  o,
		Balancer: proxy.BalancerConfig{
			MaxQueue:      cmp.Or(c.MaxQueue, DefaultMaxQueue),
			MaxQueueBytes: cmp.Or(c.MaxQueueBytes, DefaultMaxQueueBytes),
			MaxHops:       c.MaxHops,
			Weights:       c.Weights,
			MaxVisits:     c.MaxVisits,
			Names:         names,
			Timeout:       c.Timeout,
			Repeat:        c.Repeat,
			Attempts:      c.Attempts,
			Admission:     c.Admission,
			NoWorkers:     c.NoWorkers,
		},
		MaxForwarded:      cmp.Or(c.MaxForwarded, DefaultMaxForwarded),
		MaxForwardedBytes: cmp.Or(c.MaxForwardedBytes, DefaultMaxForwardedBytes),
		ForPrime:          forPrime,
		Logger:            c.Logger,
	}
}

// label names the proxy among the parts that have connections.
func (c *ProxyConfig) label() string {
	if c.Number == 0 {
		return c.Stage
	}
	return c.Stage + "/" + strconv.Itoa(c.Number)
}

// measure has the metrics serve what the proxy measures, and its connections.
func (p *Proxy) measure(cfg *ProxyConfig) error {
	if err := cfg.Metrics.stage(cfg.Stage, cfg.Number, p.proxy.Stats); err != nil {
		return err
	}
	return cfg.Metrics.sockets("proxy:"+cfg.label(), func() []socketReading {
		up, down := p.proxy.Sockets()
		return []socketReading{
			{"upstream", up}, {"downstream", down}, {"loopback", p.back.Sockets()}, {"interrupt", p.hears.Sockets()},
		}
	})
}

// refusal is the text of an answer that a proxy makes.
func refusal(info *wire.Info, told proxy.Refusal) []byte {
	return httptext.RefusalText(info, told.Status, because(info, told.Reason), told.Retry)
}

// forPrime makes a request fit for prime_server's parser, which aborts its
// process on PATCH and throws at fields without a value. A front that knows of
// such workers sees to that itself; a request may have come before it knew.
// What is no request goes as it is.
func forPrime(text []byte) ([]byte, error) {
	r, err := httptext.ParseRequest(text)
	if err != nil {
		return text, nil
	}
	if _, spooled := r.Spooled(); spooled || r.Method == "PATCH" {
		return nil, proxy.ErrUnfit
	}
	if !r.DropEmptyFields() {
		return text, nil
	}
	return r.Frames()[0], nil
}

// Run binds the endpoints and serves until Shutdown has ended, or ctx ends,
// which is the hard stop. It joins all that it started. It may run once.
func (p *Proxy) Run(ctx context.Context) error {
	defer p.life.begin()()
	if err := p.id.Load(); err != nil {
		return fmt.Errorf("cluster: proxy: %w", err)
	}
	serve := func(ctx context.Context) error {
		err := p.proxy.Run(ctx)
		if errors.Is(err, proxy.ErrClosed) { // by a Shutdown before
			err = nil
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		_ = p.back.Flush(last) // what a front that is away does not hear of
		return err
	}
	return around(ctx, serve, nil, p.back.Run, p.hears.Run, p.fronts.Run)
}

// Ready returns a channel that is closed once both endpoints are bound.
func (p *Proxy) Ready() <-chan struct{} { return p.proxy.Ready() }

// Endpoints returns the bound endpoints; only after Ready.
func (p *Proxy) Endpoints() (upstream, downstream string) {
	return p.proxy.UpstreamEndpoint(), p.proxy.DownstreamEndpoint()
}

// Shutdown takes no new jobs from fronts and ends once none is queued or held,
// or, hard, when ctx ends.
func (p *Proxy) Shutdown(ctx context.Context) error {
	err := p.proxy.Shutdown(ctx)
	// What is left is bounded: the proxy itself has ended.
	return errors.Join(err, p.life.wait(context.WithoutCancel(ctx)))
}
