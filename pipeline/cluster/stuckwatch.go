package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// stuckGrace is for how long the proxy may name a program that does not come
// back from a job, before it is ended: one that minds the timeout, a little late,
// needs no successor.
const stuckGrace = time.Second

// stuckWatch hears from a stage's proxy which of its worker programs hang, and
// ends these. A program that does not announce itself by the instance that it was
// told is not known to it.
type stuckWatch struct {
	dialer    *transport.Dialer
	processes []*program
	now       func() time.Time

	mu    sync.Mutex           // guards since
	since map[uint64]time.Time // when the proxy first named an instance of ours
}

func newStuckWatch(cfg ProgramsConfig, processes []*program) (*stuckWatch, error) {
	w := &stuckWatch{processes: processes, now: time.Now, since: make(map[uint64]time.Time)}
	o := cfg.Transport
	o.Socket, o.Logger = transport.Dealer, cfg.Logger
	if o.Instance == 0 {
		o.Instance = loopback.NewInstance() // only who announces itself is told
	}
	var err error
	if w.dialer, err = transport.NewDialer(cfg.Status, o, w); err != nil {
		return nil, fmt.Errorf("cluster: stage %q: status: %w", cfg.Stage, err)
	}
	return w, nil
}

// run listens until ctx ends.
func (w *stuckWatch) run(ctx context.Context) { _ = w.dialer.Run(ctx) }

// PeerUp implements transport.Handler.
func (w *stuckWatch) PeerUp(*transport.Peer) {}

// PeerDown implements transport.Handler: another proxy knows nothing of before.
func (w *stuckWatch) PeerDown(*transport.Peer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.since)
}

// Receive implements transport.Handler.
func (w *stuckWatch) Receive(_ *transport.Peer, batch []transport.Message) {
	s, err := wire.ParseStatus(batch[len(batch)-1][0])
	if err != nil {
		return // it is the fronts' to complain
	}
	for _, p := range w.hanging(s.Stuck) {
		p.mu.Lock()
		pid := p.pid
		p.mu.Unlock()
		p.keeper.Abort(pid)
	}
}

// hanging returns the processes that have been named for long enough. The proxy
// names them once a second.
func (w *stuckWatch) hanging(named []uint64) (hanging []*program) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for instance := range w.since {
		if !slices.Contains(named, instance) {
			delete(w.since, instance)
		}
	}
	for _, p := range w.processes {
		p.mu.Lock()
		instance, running := p.instance, p.pid != 0
		p.mu.Unlock()
		if !running || !slices.Contains(named, instance) {
			continue
		}
		first, known := w.since[instance]
		switch {
		case !known:
			w.since[instance] = w.now()
		case w.now().Sub(first) >= stuckGrace:
			hanging = append(hanging, p)
		}
	}
	return hanging
}
