package loopback

import (
	"context"
	"errors"
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
	dead    *rate.Limiter // interrupts for jobs that are claimed and nobody waits for

	mu      sync.Mutex // guards senders
	senders map[*transport.Peer]*sender
}

// sender is the Origin of streams that come over one connection.
type sender struct {
	credits *Publisher
	worker  uint64        // the instance that it announced
	dead    *rate.Limiter // as Collector.dead, of this one
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
		dead:    rate.NewLimiter(maxDead, 4*maxDead),
		senders: make(map[*transport.Peer]*sender),
	}, nil
}

// maxDead bounds the interrupts in a second by which claims of jobs that have
// ended are answered; a burst may have four times as many, that of one sender
// two. Who claims more has jobs left that it does for nobody.
const maxDead = 4096

// Grant has by tell the senders of streams of their credit, and who claims jobs
// that have ended. Call it before Run. Without it streams
// stop when what they may send unasked is used up.
func (c *Collector) Grant(by *Publisher) { c.credits = by }

// Run binds, serves until ctx ends, and joins what it started. It may run once.
func (c *Collector) Run(ctx context.Context) error { return c.run(ctx, c) }

// PeerUp implements transport.Handler.
func (c *Collector) PeerUp(p *transport.Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.senders[p] = &sender{c.credits, p.Instance(), rate.NewLimiter(maxDead, 2*maxDead)}
}

// PeerDown implements transport.Handler: the streams of who has gone are cut.
// It may have had other jobs, and its answers may have got lost on their way.
func (c *Collector) PeerDown(p *transport.Peer, err error) {
	c.mu.Lock()
	from := c.senders[p]
	delete(c.senders, p)
	c.mu.Unlock()
	if table, ok := c.to.(interface{ Gone(Origin) }); ok {
		table.Gone(from)
	}
	if table, ok := c.to.(*Table); ok && !errors.Is(err, transport.ErrClosed) {
		table.StageLost(nil, time.Now())
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
		if len(m) == 1 && wire.IsClaim(m[0]) {
			if err := c.claimed(from, m[0]); err != nil {
				c.warn.Do(func() { c.log.Warn("claim refused", "peer", p.Remote(), "err", err) })
			}
			continue
		}
		a, err := parseAnswer(m)
		if err != nil {
			c.warn.Do(func() { c.log.Warn("answer refused", "peer", p.Remote(), "err", err) })
			continue
		}
		a.From = from
		_ = c.to.Answer(a, nil) // a Table takes every answer
	}
}

// claimed takes a claim, and interrupts those of its jobs that nobody waits for: an
// interrupt that a worker or proxy missed while it was away it hears now.
func (c *Collector) claimed(from *sender, frame []byte) error {
	claim, err := wire.ParseClaim(frame)
	if err != nil {
		return err
	}
	table, ok := c.to.(interface {
		Claimed(*wire.Claim, time.Time) []wire.Key
	})
	if !ok || c.credits == nil {
		return nil
	}
	dead := table.Claimed(&claim, time.Now())
	for i, key := range dead {
		if !from.dead.Allow() || !c.dead.Allow() {
			return fmt.Errorf("loopback: %d of %d jobs that nobody waits for are not interrupted: too many at a time", len(dead)-i, claim.Len())
		}
		c.credits.Interrupt(key)
	}
	return nil
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

func logger(o transport.Options) *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.New(slog.DiscardHandler)
}
