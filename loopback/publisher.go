package loopback

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Publisher is the front's PUB socket: it tells workers and proxies of jobs
// that nobody waits for any more, and the senders of streams of their credit. It
// is an Interrupter and a RollCaller.
type Publisher struct {
	*binding
	instance uint64

	mu     sync.Mutex // guards the fields below
	number uint32     // of the latest roll call
	until  time.Time  // when its window ends
}

// NewPublisher returns a Publisher that will bind endpoint. It acquires
// nothing before Run.
func NewPublisher(endpoint string, o transport.Options) (*Publisher, error) {
	b, err := newBinding(endpoint, o, transport.Pub)
	if err != nil {
		return nil, fmt.Errorf("loopback: publisher: %w", err)
	}
	return &Publisher{binding: b, instance: o.Instance}, nil
}

// Run binds, serves until ctx ends, and joins what it started. It may run once.
func (p *Publisher) Run(ctx context.Context) error { return p.run(ctx, welcoming{p}) }

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

// RollCall implements RollCaller: it publishes to those who hold jobs and know
// about it, and to who of them comes while the window is open.
func (p *Publisher) RollCall(number uint32, window time.Duration) {
	p.mu.Lock()
	p.number, p.until = number, time.Now().Add(window)
	p.mu.Unlock()
	if l := p.listener.Load(); l != nil {
		l.PublishTo(wire.RollCallPrefix(), p.rollCall())
	}
}

// rollCall is the message that asks now; while none is under way it asks for the
// sake of jobs that have ended.
func (p *Publisher) rollCall() transport.Message {
	r := wire.RollCall{Front: p.instance}
	p.mu.Lock()
	if left := time.Until(p.until); left > 0 {
		r.Number, r.Window = p.number, left
	}
	p.mu.Unlock()
	return transport.Message{r.AppendTo(nil)}
}

// welcoming asks whoever begins to hear roll calls: interrupts that it missed
// while it was away are made up for.
type welcoming struct{ *Publisher }

func (welcoming) PeerUp(*transport.Peer)                       {}
func (welcoming) Receive(*transport.Peer, []transport.Message) {}
func (welcoming) PeerDown(*transport.Peer, error)              {}

// Subscribed implements transport.SubscriptionHandler.
func (w welcoming) Subscribed(p *transport.Peer, prefix []byte) {
	if bytes.Equal(prefix, wire.RollCallPrefix()) {
		p.Publish(prefix, w.rollCall())
	}
}

// credit publishes to the worker that it is for, and to nobody else.
func (p *Publisher) credit(c *wire.Credit) {
	if l := p.listener.Load(); l != nil {
		l.PublishTo(wire.CreditPrefix(c.Worker), transport.Message{c.AppendTo(nil)})
	}
}
