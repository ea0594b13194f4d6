package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Part is something that runs: a front, a proxy, workers, or several of them.
type Part interface {
	// Run blocks until Shutdown has ended, or ctx ends: the hard stop. It
	// joins all that it started.
	Run(ctx context.Context) error
	// Shutdown finishes what was taken, or gives up when ctx ends.
	Shutdown(ctx context.Context) error
}

// Group runs parts side by side and stops them in order: each rank is shut down
// once the ranks before it have ended. It is a Part.
type Group struct {
	ranks [][]Part
	done  chan struct{} // closed at the end of Run
}

// NewGroup returns a group of ranks, the one that is stopped first first. Ranks
// may be empty.
func NewGroup(ranks ...[]Part) *Group { return &Group{ranks: ranks, done: make(chan struct{})} }

// Run runs all parts until each has ended. The first that fails ends them all,
// hard. It may run once.
func (g *Group) Run(ctx context.Context) error {
	defer close(g.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		parts sync.WaitGroup
		mu    sync.Mutex // guards errs
		errs  []error
	)
	for _, rank := range g.ranks {
		for _, p := range rank {
			parts.Go(func() {
				if err := p.Run(ctx); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
					cancel()
				}
			})
		}
	}
	parts.Wait()
	return errors.Join(errs...)
}

// Shutdown stops rank after rank and waits until Run has returned, or ctx
// ends. When it ends early the remaining ranks are asked all the same.
func (g *Group) Shutdown(ctx context.Context) error {
	var errs []error
	for _, rank := range g.ranks {
		errs = append(errs, shutdownAll(ctx, rank))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shutdownAll stops parts side by side.
func shutdownAll(ctx context.Context, rank []Part) error {
	errs := make([]error, len(rank))
	var parts sync.WaitGroup
	for i, p := range rank {
		parts.Go(func() { errs[i] = p.Shutdown(ctx) })
	}
	parts.Wait()
	return errors.Join(errs...)
}

// All returns the parts, rank after rank.
func (g *Group) All() []Part { return slices.Concat(g.ranks...) }
