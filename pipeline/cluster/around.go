package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// around runs main with the network around it: first background, until every
// ready channel is closed, then main, and when main has returned it ends
// background. The end of ctx ends main; background goes on until main has
// returned, so that what main finishes can still be told. The first error of
// background ends main, too. It joins all.
func around(ctx context.Context, main func(context.Context) error, ready []<-chan struct{}, background ...func(context.Context) error) error {
	network, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	defer func() {
		disconnect()
		parts.Wait()
		cancel(nil)
	}()
	for _, f := range background {
		parts.Go(func() {
			if err := f(network); err != nil {
				cancel(err)
			}
		})
	}
	for _, r := range ready {
		select {
		case <-r:
		case <-ctx.Done():
			return failure(ctx)
		}
	}
	return errors.Join(main(ctx), failure(ctx))
}

// lifetime tells a Shutdown when Run has returned.
type lifetime struct {
	began atomic.Bool
	ended chan struct{} // closed at the end of Run
}

func newLifetime() lifetime { return lifetime{ended: make(chan struct{})} }

// begin marks the beginning of Run; call what it returns at the end.
func (l *lifetime) begin() (end func()) {
	l.began.Store(true)
	return func() { close(l.ended) }
}

// wait waits for the end of Run, if it has begun, or of ctx.
func (l *lifetime) wait(ctx context.Context) error {
	if !l.began.Load() {
		return nil
	}
	select {
	case <-l.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cluster: still working: %w", context.Cause(ctx))
	}
}

// lastWords is how long the answers and interrupts that a stop brings about may
// take to leave.
const lastWords = 500 * time.Millisecond

// failure returns why ctx ended, if that was a failure and not its parent's end.
func failure(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
