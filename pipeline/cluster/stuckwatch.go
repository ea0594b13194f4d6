package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/loopback"
)

// stuckGrace is for how long the proxy may name a program that does not come
// back from a job, before it is ended: one that minds the timeout, a little late,
// needs no successor.
const stuckGrace = time.Second

// stuckLook is how often it is looked at whom the proxies name, which they do
// once a second.
const stuckLook = 250 * time.Millisecond

// stuckWatch hears from a stage's proxies which of its worker programs hang, and
// ends these. A program that does not announce itself by the instance that it was
// told is not known to it.
type stuckWatch struct {
	proxies   *loopback.Proxies
	processes []*program
	now       func() time.Time
	since     map[uint64]time.Time // when a proxy first named an instance of ours
}

func newStuckWatch(cfg ProgramsConfig, processes []*program) (*stuckWatch, error) {
	w := &stuckWatch{processes: processes, now: time.Now, since: make(map[uint64]time.Time)}
	o := cfg.Transport
	o.Logger = cfg.Logger
	if o.Instance == 0 {
		o.Instance = loopback.NewInstance() // only who announces itself is told
	}
	var err error
	if w.proxies, err = loopback.NewProxies(loopback.Endpoints(cfg.Status), o, nil); err != nil {
		return nil, fmt.Errorf("cluster: stage %q: status: %w", cfg.Stage, err)
	}
	return w, nil
}

// run watches until ctx ends.
func (w *stuckWatch) run(ctx context.Context) {
	var connections sync.WaitGroup
	defer connections.Wait()
	connections.Go(func() { _ = w.proxies.Run(ctx) })
	ticker := time.NewTicker(stuckLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look()
		}
	}
}

// look ends the programs that hang.
func (w *stuckWatch) look() {
	var named []uint64
	for _, s := range w.proxies.States() {
		named = append(named, s.Status.Stuck...)
	}
	for _, p := range w.hanging(named) {
		p.mu.Lock()
		pid := p.pid
		p.mu.Unlock()
		p.keeper.Abort(pid)
	}
}

// hanging returns the processes that have been named for long enough, without a
// break: a proxy that comes back knows nothing of before.
func (w *stuckWatch) hanging(named []uint64) (hanging []*program) {
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
