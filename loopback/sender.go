package loopback

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// FrontEndpoint names a front's socket. Name matters only where there are
// several fronts and some of them does not announce its instance.
type FrontEndpoint struct{ Name, Endpoint string }

// Sender sends answers back to the fronts that wait for them, over one PUSH
// connection to each. It is the worker's and the proxy's side of the loopback,
// an Answerer, and safe for concurrent use.
type Sender struct {
	fronts []*frontLink
	claims *Claimer // nil: nobody claims jobs
}

// frontLink is the connection to one front.
type frontLink struct {
	line
	sender   *Sender
	name     string
	instance atomic.Uint64 // of the front at the other end now; 0: unknown, or prime_server's

	loss atomic.Bool // the front is to be told of one

	mu      sync.Mutex // guards watches
	watches map[*func()]struct{}
}

// maxLost is how often an answer may get lost with its connection before it is
// given up: it may be the answer itself that costs the connection.
const maxLost = 6

// NewSender validates and acquires nothing. Answers may be given to it before
// and while it runs: they wait in a bounded queue for the front.
func NewSender(fronts []FrontEndpoint, o transport.Options) (*Sender, error) {
	o.Socket = transport.Push
	s := &Sender{}
	for _, f := range fronts {
		link := &frontLink{sender: s, name: f.Name, line: line{resend: maxLost - 1}}
		if err := link.dial(f.Endpoint, o, link); err != nil {
			return nil, fmt.Errorf("loopback: sender: %w", err)
		}
		s.fronts = append(s.fronts, link)
	}
	return s, nil
}

// Run keeps the connections until ctx ends, and joins what it started.
func (s *Sender) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range s.fronts {
		g.Go(func() error { return l.dialer.Run(ctx) })
	}
	return g.Wait()
}

// Flush waits until every answer has reached the kernel or been given up, or ctx
// ends. It needs Run to be running.
func (s *Sender) Flush(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range s.fronts {
		g.Go(func() error { return l.flush(ctx) })
	}
	return g.Wait()
}

// Answer implements Answerer: it queues a for its front. An answer that gets
// lost with its connection is sent again on the next one, since of two the front
// takes the first; one that always gets lost is given up. The error is a
// *NoFrontError or that of transport.Dialer.Send; then the caller keeps a.
func (s *Sender) Answer(a Answer, sent transport.Notifier) error {
	link := s.front(&a.Info)
	if link == nil {
		return &NoFrontError{a.Info.Key(), string(a.Info.Field(wire.FrontName))}
	}
	return link.send(&a.Info, a.Payload.Frames(), sent)
}

// front picks the front of a job: by its instance, else by its name; a single
// front waits for everything.
func (s *Sender) front(i *wire.Info) *frontLink {
	if len(s.fronts) == 1 {
		return s.fronts[0]
	}
	if !i.Extended {
		return nil
	}
	for _, l := range s.fronts {
		if i.Instance != 0 && l.instance.Load() == i.Instance {
			return l
		}
	}
	if name := i.Field(wire.FrontName); name != nil {
		for _, l := range s.fronts {
			if l.name == string(name) {
				return l
			}
		}
	}
	return nil
}

// Watch has lost called when the connection to the front of a job is lost, until
// end is called: parts of a stream are not sent again. lost must not block and
// may be called once more while end returns.
func (s *Sender) Watch(i *wire.Info, lost func()) (end func()) {
	l := s.front(i)
	if l == nil {
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watches == nil {
		l.watches = make(map[*func()]struct{})
	}
	l.watches[&lost] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watches, &lost)
	}
}

// PeerUp implements transport.Handler.
func (l *frontLink) PeerUp(p *transport.Peer) {
	l.instance.Store(p.Instance())
	l.up.Store(true)
	if c := l.sender.claims; c != nil {
		c.here.up("loopback "+l.endpoint, p.Instance())
		if p.Instance() != 0 {
			c.connected(p.Instance())
			l.tellLoss()
		}
	}
}

// claim tells a front, if it is connected, that jobs are held here.
func (s *Sender) claim(front uint64, number uint32, keys []wire.Key) {
	for _, l := range s.fronts {
		if front != 0 && l.instance.Load() == front && l.up.Load() {
			_ = l.dialer.Send(transport.Message{wire.AppendClaim(nil, front, number, keys)}, nil)
		}
	}
}

// heldFor calls add with the keys of answers that have not reached the kernel.
func (s *Sender) heldFor(front uint64, add func(wire.Key)) {
	for _, l := range s.fronts {
		l.away.held(front, add)
	}
}

// Receive implements transport.Handler: PULL sockets send nothing.
func (l *frontLink) Receive(*transport.Peer, []transport.Message) {}

// PeerDown implements transport.Handler. The instance stays: answers to a
// front that is away for a moment wait for it. Those that were written last may be
// lost, though nobody said so; the front may have noticed the cut before.
func (l *frontLink) PeerDown(*transport.Peer, error) {
	l.up.Store(false)
	l.loss.Store(true)
	if c := l.sender.claims; c != nil {
		c.here.down("loopback " + l.endpoint)
	}
	l.mu.Lock()
	watches := slices.Collect(maps.Keys(l.watches))
	l.mu.Unlock()
	for _, lost := range watches {
		(*lost)()
	}
}
