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

// Subscriber hears the interrupts of fronts and tells them to an Interrupter;
// to one that is an Origin, the credit of the streams that it sends, too. Roll
// calls it gives to a Claimer.
// A key from a prime_server front has no instance: it means the job of that id
// and time without one.
type Subscriber struct {
	dialers []*transport.Dialer
	to      Interrupter
	streams Origin // nil: it sends none
	claims  *Claimer
	log     *slog.Logger
	warn    rate.Sometimes
}

// NewSubscriber validates and acquires nothing. For credit o has to hold the
// instance that the Sender of the streams announces. Without a Claimer fronts are
// not answered when they ask who holds their jobs.
func NewSubscriber(endpoints []string, o transport.Options, to Interrupter, claims *Claimer) (*Subscriber, error) {
	o.Socket, o.Subscribe = transport.Sub, [][]byte{{}}
	s := &Subscriber{to: to, claims: claims, log: logger(o), warn: rate.Sometimes{Interval: time.Second}}
	if claims != nil {
		o.Subscribe = append(o.Subscribe, wire.RollCallPrefix())
	}
	if streams, ok := to.(Origin); ok {
		s.streams = streams
		o.Subscribe = append(o.Subscribe, wire.CreditPrefix(o.Instance))
	}
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
func (s *Subscriber) PeerUp(p *transport.Peer) {
	if s.claims != nil {
		s.claims.here.up("interrupt "+p.Remote(), p.Instance())
	}
}

// PeerDown implements transport.Handler.
func (s *Subscriber) PeerDown(p *transport.Peer, _ error) {
	if s.claims != nil {
		s.claims.here.down("interrupt " + p.Remote())
	}
}

// Receive implements transport.Handler.
func (s *Subscriber) Receive(p *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		if err := s.hear(m); err != nil {
			s.warn.Do(func() { s.log.Warn("interrupt refused", "peer", p.Remote(), "err", err) })
		}
	}
}

func (s *Subscriber) hear(m transport.Message) error {
	if s.claims != nil && len(m) == 1 && wire.IsRollCall(m[0]) {
		r, err := wire.ParseRollCall(m[0])
		if err == nil {
			s.claims.RollCall(r)
		}
		return err
	}
	if s.streams != nil && len(m) == 1 && wire.IsCredit(m[0]) {
		c, err := wire.ParseCredit(m[0])
		switch {
		case err != nil:
			return err
		case c.Stop:
			s.streams.Refuse(c.Key)
		default:
			s.streams.Credit(c.Key, c.Granted)
		}
		return nil
	}
	key, err := parseInterrupt(m)
	if err == nil {
		s.to.Interrupt(key)
	}
	return err
}

func parseInterrupt(m transport.Message) (wire.Key, error) {
	if len(m) != 1 {
		return wire.Key{}, fmt.Errorf("loopback: an interrupt has 1 frame, this has %d", len(m))
	}
	return wire.ParseInterrupt(m[0])
}
