package pipeline

import (
	"context"
	"iter"
	"sync"
)

// Outcome is what became of one job of a batch.
type Outcome struct {
	Answer Answer
	Err    error
}

// Batch submits jobs, at most width at a time, and yields each one's number
// in the order of jobs with its outcome, as they come. It ends when all have
// ended; leaving the loop early, or the end of ctx, interrupts those open. A
// sequence of jobs that can block has to end with ctx, too: leaving waits for it.
func (c *Client) Batch(ctx context.Context, width int, jobs iter.Seq[[][]byte]) iter.Seq2[int, Outcome] {
	return func(yield func(int, Outcome) bool) {
		ctx, cancel := context.WithCancel(ctx)
		b := &batch{client: c, out: make(chan numbered)}
		var stop func()
		b.next, stop = iter.Pull(jobs)
		var workers sync.WaitGroup
		for range max(1, width) {
			workers.Go(func() { b.work(ctx) })
		}
		go func() {
			workers.Wait()
			close(b.out)
		}()
		defer func() {
			cancel()
			for range b.out { // until the workers have gone
			}
			stop()
		}()
		for o := range b.out {
			if !yield(o.number, o.Outcome) {
				return
			}
		}
	}
}

// batch is a running Batch.
type batch struct {
	client *Client
	out    chan numbered

	mu    sync.Mutex // guards next and taken
	next  func() ([][]byte, bool)
	taken int
}

type numbered struct {
	number int
	Outcome
}

// work does job after job until none is left or ctx ends.
func (b *batch) work(ctx context.Context) {
	for ctx.Err() == nil {
		number, frames, ok := b.take()
		if !ok {
			return
		}
		a, err := b.client.Do(ctx, frames...)
		b.out <- numbered{number, Outcome{a, err}}
	}
}

func (b *batch) take() (number int, frames [][]byte, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if frames, ok = b.next(); !ok {
		return 0, nil, false
	}
	b.taken++
	return b.taken - 1, frames, true
}
