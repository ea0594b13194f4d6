package loopback

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Subscriber hears the interrupts of fronts and tells them to an Interrupter.
// A key from a prime_server front has no instance: it means the job of that id
// and time without one.
type Subscriber struct {
	dialers []*transport.Dialer
	to      Interrupter
	log     *slog.Logger
	warn    rate.Sometimes
}

// NewSubscriber validates and acquires nothing.
func NewSubscriber(endpoints []string, o transport.Options, to Interrupter) (*Subscriber, error) {
	o.Socket, o.Subscribe = transport.Sub, [][]byte{{}}
	s := &Subscriber{to: to, log: logger(o), warn: rate.Sometimes{Interval: time.Second}}
	for _, e := range endpoints {
		d, err := transport.NewDialer(e, o, s)
		if err != nil {
			return nil, fmt.Errorf("loopback: subscriber: %w", err)
		}
		s.dialers = append(s.dialers, d)
	}
	return s, nil
}

// Run keeps the connections until ctx ends, and joins what it started.
func (s *Subscriber) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range s.dialers {
		g.Go(func() error { return d.Run(ctx) })
	}
	return g.Wait()
}

// PeerUp implements transport.Handler.
func (s *Subscriber) PeerUp(*transport.Peer) {}

// PeerDown implements transport.Handler.
func (s *Subscriber) PeerDown(*transport.Peer, error) {}

// Receive implements transport.Handler.
func (s *Subscriber) Receive(p *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		key, err := parseInterrupt(m)
		if err != nil {
			s.warn.Do(func() { s.log.Warn("interrupt refused", "peer", p.Remote(), "err", err) })
			continue
		}
		s.to.Interrupt(key)
	}
}

func parseInterrupt(m transport.Message) (wire.Key, error) {
	if len(m) != 1 {
		return wire.Key{}, fmt.Errorf("loopback: an interrupt has 1 frame, this has %d", len(m))
	}
	return wire.ParseInterrupt(m[0])
}
