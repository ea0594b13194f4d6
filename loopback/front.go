package loopback

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// binding is a socket that a front binds: what Collector and Publisher share.
type binding struct {
	endpoint string
	options  transport.Options
	ready    chan struct{}
	listener atomic.Pointer[transport.Listener]
}

func newBinding(endpoint string, o transport.Options, socket transport.SocketType) (*binding, error) {
	if err := o.CheckListen(endpoint); err != nil {
		return nil, err
	}
	o.Socket = socket
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &binding{endpoint: endpoint, options: o, ready: make(chan struct{})}, nil
}

func (b *binding) run(ctx context.Context, h transport.Handler) error {
	l, err := transport.Listen(b.endpoint, b.options, h)
	if err != nil {
		return err
	}
	b.listener.Store(l)
	close(b.ready)
	return l.Run(ctx)
}

// Ready is closed once the socket is bound.
func (b *binding) Ready() <-chan struct{} { return b.ready }

// Endpoint returns the bound address, with the real port; only after Ready.
func (b *binding) Endpoint() string {
	if l := b.listener.Load(); l != nil {
		return l.Endpoint()
	}
	return b.endpoint
}

// Collector is the front's PULL socket: it takes the answers of workers and
// proxies and gives them to the front's table.
type Collector struct {
	*binding
	to      Answerer
	credits *Publisher // nil: none are told
	log     *slog.Logger
	warn    rate.Sometimes

	mu      sync.Mutex // guards senders
	senders map[*transport.Peer]*sender
}

// sender is the Origin of streams that come over one connection.
type sender struct {
	credits *Publisher
	worker  uint64 // the instance that it announced
}

// Credit implements Origin.
func (s *sender) Credit(key wire.Key, granted uint64) {
	s.tell(&wire.Credit{Worker: s.worker, Key: key, Granted: granted})
}

// Refuse implements Origin.
func (s *sender) Refuse(key wire.Key) { s.tell(&wire.Credit{Worker: s.worker, Key: key, Stop: true}) }

func (s *sender) tell(c *wire.Credit) {
	if s.credits != nil {
		s.credits.credit(c)
	}
}

// NewCollector returns a Collector that will bind endpoint. It acquires
// nothing before Run.
func NewCollector(endpoint string, o transport.Options, to Answerer) (*Collector, error) {
	b, err := newBinding(endpoint, o, transport.Pull)
	if err != nil {
		return nil, fmt.Errorf("loopback: collector: %w", err)
	}
	return &Collector{
		binding: b, to: to, log: logger(o), warn: rate.Sometimes{Interval: time.Second},
		senders: make(map[*transport.Peer]*sender),
	}, nil
}

// Grant has by tell the senders of streams of their credit. Call it before Run.
// Without it they stop when what they may send unasked is used up.
func (c *Collector) Grant(by *Publisher) { c.credits = by }

// Run binds, serves until ctx ends, and joins what it started. It may run once.
func (c *Collector) Run(ctx context.Context) error { return c.run(ctx, c) }

// PeerUp implements transport.Handler.
func (c *Collector) PeerUp(p *transport.Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.senders[p] = &sender{c.credits, p.Instance()}
}

// PeerDown implements transport.Handler: the streams of who has gone are cut.
func (c *Collector) PeerDown(p *transport.Peer, _ error) {
	c.mu.Lock()
	from := c.senders[p]
	delete(c.senders, p)
	c.mu.Unlock()
	if table, ok := c.to.(interface{ Gone(Origin) }); ok {
		table.Gone(from)
	}
}

func (c *Collector) sender(p *transport.Peer) *sender {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.senders[p]
}

// Receive implements transport.Handler.
func (c *Collector) Receive(p *transport.Peer, batch []transport.Message) {
	from := c.sender(p)
	for _, m := range batch {
		a, err := parseAnswer(m)
		if err != nil {
			c.warn.Do(func() { c.log.Warn("answer refused", "peer", p.Remote(), "err", err) })
			continue
		}
		a.From = from
		_ = c.to.Answer(a, nil) // a Table takes every answer
	}
}

// parseAnswer reads an answer: exactly two frames, since the C++ front takes
// the last and more would be cut silently there.
func parseAnswer(m transport.Message) (Answer, error) {
	if len(m) != 2 {
		return Answer{}, fmt.Errorf("loopback: an answer has 2 frames, this has %d", len(m))
	}
	info, err := wire.ParseInfo(m[0])
	if err != nil {
		return Answer{}, err
	}
	return Answer{Info: info, Payload: wire.Frames(m[1:])}, nil
}

// Publisher is the front's PUB socket: it tells workers and proxies of jobs
// that nobody waits for any more, and the senders of streams of their credit. It
// is an Interrupter.
type Publisher struct{ *binding }

// NewPublisher returns a Publisher that will bind endpoint. It acquires
// nothing before Run.
func NewPublisher(endpoint string, o transport.Options) (*Publisher, error) {
	b, err := newBinding(endpoint, o, transport.Pub)
	if err != nil {
		return nil, fmt.Errorf("loopback: publisher: %w", err)
	}
	return &Publisher{b}, nil
}

// Run binds, serves until ctx ends, and joins what it started. It may run once.
func (p *Publisher) Run(ctx context.Context) error { return p.run(ctx, ignore{}) }

// Flush waits until every interrupt has reached the kernel, or ctx ends. It does
// nothing before Ready.
func (p *Publisher) Flush(ctx context.Context) error {
	if l := p.listener.Load(); l != nil {
		return l.Flush(ctx)
	}
	return nil
}

// Interrupt publishes key to every subscriber; it does nothing before Ready.
func (p *Publisher) Interrupt(key wire.Key) {
	if l := p.listener.Load(); l != nil {
		l.Publish(transport.Message{wire.AppendInterrupt(nil, key)})
	}
}

// credit publishes to the worker that it is for, and to nobody else.
func (p *Publisher) credit(c *wire.Credit) {
	if l := p.listener.Load(); l != nil {
		l.PublishTo(wire.CreditPrefix(c.Worker), transport.Message{c.AppendTo(nil)})
	}
}

// ignore is the handler of sockets on which nothing is received.
type ignore struct{}

func (ignore) PeerUp(*transport.Peer)                       {}
func (ignore) Receive(*transport.Peer, []transport.Message) {}
func (ignore) PeerDown(*transport.Peer, error)              {}

func logger(o transport.Options) *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.New(slog.DiscardHandler)
}
