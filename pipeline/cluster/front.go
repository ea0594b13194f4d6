package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// MaxRemoteBody bounds the bodies that a front whose stages are other processes
// can take: what one message may hold, with room for the header.
const MaxRemoteBody = 63 << 20

// FrontConfig configures a Front. Endpoints are tcp://host:port or
// ipc:///path.
type FrontConfig struct {
	// HTTP configures the server; its Table, Stage, Lane, Ready and Compat are
	// set here.
	HTTP httpfront.Config
	// Table names the front and bounds the open requests.
	Table loopback.TableConfig
	// Proxy is the upstream endpoint of the first stage's proxy; of several
	// proxies they are named with commas between, and requests are spread over
	// them. A host name stands for as many as it has addresses.
	Proxy string
	// Watch are the upstream endpoints of other stages' proxies, likewise: the
	// front is ready only while each stage has one that is.
	Watch []string
	// Admission says whether requests are refused that could not be answered in
	// time, given what the stages of Proxy and Watch do (503).
	Admission Admission
	// Loopback and Interrupt are the endpoints that the front binds.
	Loopback, Interrupt string
	// Transport bounds the connections; its zero value has the defaults.
	Transport transport.Options
	// MTLS is who the part is at tls+tcp endpoints, and whom it meets there; nil
	// where there are none.
	MTLS *MTLS
	// Metrics of this process; nil: the front is not measured.
	Metrics *Metrics
	// Logger gets what is wrong; nil: nothing.
	Logger *slog.Logger
}

// Front is an HTTP front whose stages are other processes.
type Front struct {
	table     *loopback.Table
	collector *loopback.Collector
	publisher *loopback.Publisher
	stages    []*remoteStage
	id        *mtls.Identity // nil: no endpoint wants one
	http      *httpfront.Front
	answers   answers
}

// remoteStage is a stage's proxies and where they are.
type remoteStage struct {
	*loopback.Proxies
	stageAt
}

// unready says why none of the proxies can serve: each is away, or has no workers.
func (s *remoteStage) unready() error {
	var errs []error
	for _, p := range s.States() {
		what := "the proxy at " + p.Endpoint
		if s.name != "" {
			what = fmt.Sprintf("the proxy of stage %q at %s", s.name, p.Endpoint)
		}
		switch {
		case !p.Connected:
			errs = append(errs, fmt.Errorf("%s is not connected", what))
		case p.Butterfly && p.Told.IsZero():
			errs = append(errs, fmt.Errorf("%s has not told its status yet", what))
		case p.Status.Draining:
			errs = append(errs, fmt.Errorf("%s is draining", what))
		case p.Butterfly && p.Status.Workers == 0:
			errs = append(errs, fmt.Errorf("%s has no workers", what))
		default:
			return nil
		}
	}
	return errors.Join(errs...)
}

// NewFront validates cfg and acquires nothing.
func NewFront(cfg FrontConfig) (*Front, error) {
	stages := []stageAt{{endpoints: cfg.Proxy}}
	for _, e := range cfg.Watch {
		stages = append(stages, stageAt{endpoints: e})
	}
	return newFront(cfg, cfg.Table.FrontName, stages, func(f *Front, http *httpfront.Config) {
		http.Stage, http.Compat = f.stages[0], f.stages[0].Prime
		http.Served = f.answers.of(cfg.Metrics, f.stages[0].label())
		if cfg.Admission == AdmitDeadline {
			var way []loopback.Gauge
			for _, stage := range f.stages {
				way = append(way, stage)
			}
			http.Lane = newLane(way, false) // who sends jobs around in a circle has a graph
		}
		f.link(func(from, _ *remoteStage) bool { return from == f.stages[0] })
	})
}

// stageAt is a stage and the upstream endpoints of its proxies, with commas
// between.
type stageAt struct {
	name, endpoints string
	compat          bool // there is one, since its workers know no other
}

// newFront makes a front of stages; route sets where its requests go. The name is
// for metrics.
func newFront(cfg FrontConfig, name string, stages []stageAt, route func(*Front, *httpfront.Config)) (*Front, error) {
	table, err := loopback.NewTable(cfg.Table)
	if err != nil {
		return nil, err
	}
	o := cfg.Transport
	o.Instance, o.Logger = table.Instance(), cfg.Logger
	f := &Front{table: table}
	if f.id, err = mtls.Optional(cfg.MTLS, cfg.Logger); err != nil {
		return nil, fmt.Errorf("cluster: front: %w", err)
	}
	o.TLS = f.id
	if f.collector, err = loopback.NewCollector(cfg.Loopback, o, table); err != nil {
		return nil, err
	}
	if f.publisher, err = loopback.NewPublisher(cfg.Interrupt, o); err != nil {
		return nil, err
	}
	table.Notify(f.publisher)
	f.collector.Grant(f.publisher)
	o.Queue = jobQueue(o.Queue, cfg.Table)
	for _, s := range stages {
		o.Unfollowed = s.compat
		r, err := loopback.NewProxies(loopback.Endpoints(s.endpoints), o, table)
		if err != nil {
			return nil, err
		}
		r.FitForPrime(fitForPrime)
		f.stages = append(f.stages, &remoteStage{r, s})
	}
	cfg.HTTP.Table, cfg.HTTP.Ready, cfg.HTTP.Logger = table, f.unready, cfg.Logger
	cfg.HTTP.Own = f.answers.of(cfg.Metrics, "")
	route(f, &cfg.HTTP)
	if f.http, err = httpfront.New(cfg.HTTP); err != nil {
		return nil, err
	}
	return f, f.measure(name, cfg.Metrics)
}

// measure has m serve what the front measures, and its connections.
func (f *Front) measure(name string, m *Metrics) error {
	if err := m.front(name, f.http, f.table, &f.answers, f.stages); err != nil {
		return err
	}
	return m.sockets(graph.Role{Kind: graph.RoleFront, Name: frontLabel(name)}.String(), func() []socketReading {
		return []socketReading{
			{"upstream", f.upstreams()}, {"loopback", f.collector.Sockets()}, {"interrupt", f.publisher.Sockets()},
		}
	})
}

// link tells each stage where its jobs may come to: leads says whether those of
// one stage may come to another.
func (f *Front) link(leads func(from, to *remoteStage) bool) {
	for _, from := range f.stages {
		var others []loopback.Losable
		for _, to := range f.stages {
			if to != from && leads(from, to) {
				others = append(others, to.Losable())
			}
		}
		from.LeadsTo(others...)
	}
}

// jobQueue returns the bounds of what waits for the proxy: at least those of the
// table, which has admitted it.
func jobQueue(q transport.QueueLimits, t loopback.TableConfig) transport.QueueLimits {
	const overhead = 1 << 10 // of a job, at most: its info frame, headers of frames
	q = q.WithDefaults()
	requests := cmp.Or(t.MaxPending, loopback.DefaultMaxPending)
	bytes := cmp.Or(t.MaxPendingBytes, loopback.DefaultMaxPendingBytes)
	q.Count = max(q.Count, requests)
	q.Bytes = max(q.Bytes, bytes+int64(requests)*overhead)
	return q
}

// fitForPrime does for requests that came before the proxy what the HTTP server
// does for those that come later.
func fitForPrime(job *loopback.Job) error {
	text, err := forPrime(job.Payload.Frames()[0])
	if err != nil {
		if r, bad := httptext.ParseRequest(job.Payload.Frames()[0]); bad == nil && r.Method != "PATCH" {
			return &httpfront.StatusError{Status: http.StatusRequestEntityTooLarge, Message: "the request's body is too large"}
		}
		return &httpfront.StatusError{Status: http.StatusNotImplemented, Message: "the method is not implemented"}
	}
	job.Payload, job.Size = wire.Frames{text}, len(text)
	return nil
}

// unready says why requests cannot be served now: a stage of which no proxy is
// there and has workers.
func (f *Front) unready() error {
	var errs []error
	for _, s := range f.stages {
		errs = append(errs, s.unready())
	}
	return errors.Join(errs...)
}

// Run binds the addresses and serves until Shutdown has ended, or ctx ends,
// which is the hard stop. It joins all that it started. It may run once.
func (f *Front) Run(ctx context.Context) error {
	if err := f.id.Load(); err != nil {
		return fmt.Errorf("cluster: front: %w", err)
	}
	background := []func(context.Context) error{f.table.Run, f.collector.Run, f.publisher.Run}
	for _, s := range f.stages {
		background = append(background, f.serving(s.Run))
	}
	serve := func(ctx context.Context) error {
		err := f.http.Run(ctx)
		// Of requests that were cut off the stages hear now, or never.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		_ = f.publisher.Flush(last) // who does not read does not hear
		return err
	}
	ready := []<-chan struct{}{f.collector.Ready(), f.publisher.Ready()}
	return around(ctx, serve, ready, background...)
}

// serving returns run, to begin once requests are accepted: what cannot be
// bound is found out before anybody else is bothered.
func (f *Front) serving(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-f.Ready():
			return run(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// Ready returns a channel that is closed once requests are accepted.
func (f *Front) Ready() <-chan struct{} { return f.http.Ready() }

// Addr returns the address listened on, or nil before Ready.
func (f *Front) Addr() net.Addr { return f.http.Addr() }

// URL returns where the front serves; only after Ready.
func (f *Front) URL() string { return f.http.URL() }

// Endpoints returns the bound loopback and interrupt endpoints; only after Ready.
func (f *Front) Endpoints() (loopback, interrupt string) {
	return f.collector.Endpoint(), f.publisher.Endpoint()
}

// Shutdown accepts no new requests, answers those accepted, and waits until
// Run has closed the front, or ctx ends. Cancel Run's context for the hard stop.
func (f *Front) Shutdown(ctx context.Context) error { return f.http.Shutdown(ctx) }
