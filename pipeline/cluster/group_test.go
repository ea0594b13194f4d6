package cluster_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// act is a part that needs a time to drain, and tells a journal when its Run
// begins and ends, and when it is asked to stop.
type act struct {
	name    string
	drain   time.Duration
	fails   error // Run returns it at once
	journal *journal
	stop    chan struct{}
	once    sync.Once // closes stop
	ended   chan struct{}
}

// journal collects what happens, with the time since it was made.
type journal struct {
	began time.Time

	mu    sync.Mutex // guards lines
	lines []string
}

func newJournal() *journal { return &journal{began: time.Now()} }

func (j *journal) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, time.Since(j.began).String()+" "+what)
}

func (j *journal) act(name string, drain time.Duration, fails error) *act {
	return &act{name: name, drain: drain, fails: fails, journal: j, stop: make(chan struct{}), ended: make(chan struct{})}
}

func (a *act) Run(ctx context.Context) error {
	defer close(a.ended)
	if a.fails != nil {
		return a.fails
	}
	select {
	case <-ctx.Done():
		a.journal.note(a.name + " cut")
		return nil
	case <-a.stop:
	}
	select {
	case <-ctx.Done():
		a.journal.note(a.name + " cut")
	case <-time.After(a.drain):
		a.journal.note(a.name + " drained")
	}
	return nil
}

func (a *act) Shutdown(ctx context.Context) error {
	a.once.Do(func() {
		a.journal.note(a.name + " asked")
		close(a.stop)
	})
	select {
	case <-a.ended:
		return nil
	case <-ctx.Done():
		return errors.New(a.name + " is busy")
	}
}

// parts makes ranks of them.
func parts(ps ...*act) (rank []cluster.Part) {
	for _, p := range ps {
		rank = append(rank, p)
	}
	return rank
}

// begin runs a part and returns what tells its end, and the hard stop.
func begin(t *testing.T, p cluster.Part) (done chan error, cut context.CancelFunc) {
	ctx, cut := context.WithCancel(context.Background())
	t.Cleanup(cut)
	done = make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return done, cut
}

func TestRanksAreStoppedOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		g := cluster.NewGroup(
			parts(j.act("front", 3*time.Second, nil), j.act("slow front", 5*time.Second, nil)),
			nil,
			parts(j.act("worker", time.Second, nil)),
			parts(j.act("proxy", time.Second, nil)),
		)
		done, _ := begin(t, g)
		synctest.Wait()
		require.NoError(t, g.Shutdown(t.Context()))
		require.NoError(t, <-done)
		assert.ElementsMatch(t, []string{"0s front asked", "0s slow front asked"}, j.lines[:2])
		assert.Equal(t, []string{
			"3s front drained", "5s slow front drained",
			"5s worker asked", "6s worker drained", "6s proxy asked", "7s proxy drained",
		}, j.lines[2:])
		require.NoError(t, g.Shutdown(t.Context()), "a second one has nothing to do")
	})
}

// Shutdowns may come from several sides.
func TestTwoShutdownsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := cluster.NewGroup(parts(newJournal().act("front", time.Second, nil)))
		done, _ := begin(t, g)
		synctest.Wait()
		other := make(chan error, 1)
		go func() { other <- g.Shutdown(t.Context()) }()
		require.NoError(t, g.Shutdown(t.Context()))
		require.NoError(t, <-other)
		require.NoError(t, <-done)
	})
}

// Time runs out in the first rank: the others are told all the same, so that
// they do what they can until the hard stop.
func TestShutdownOfAGroupOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		g := cluster.NewGroup(parts(j.act("front", time.Hour, nil)), parts(j.act("worker", time.Second, nil)))
		done, cut := begin(t, g)
		synctest.Wait()
		grace, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorContains(t, g.Shutdown(grace), "front is busy")
		time.Sleep(2 * time.Second)
		cut()
		require.NoError(t, <-done)
		assert.Equal(t, []string{"0s front asked", "1m0s worker asked", "1m1s worker drained", "1m2s front cut"}, j.lines)
	})
}

func TestAPartThatFailsEndsItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		broken := errors.New("broken")
		g := cluster.NewGroup(parts(j.act("front", time.Hour, nil)), parts(j.act("proxy", 0, broken)))
		done, _ := begin(t, g)
		require.ErrorIs(t, <-done, broken)
		assert.Equal(t, []string{"0s front cut"}, j.lines)
		require.NoError(t, g.Shutdown(t.Context()), "there is nothing left")
	})
}

func TestAGroupThatIsShutDownBeforeItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		g := cluster.NewGroup(parts(j.act("front", time.Hour, nil)))
		require.NoError(t, g.Shutdown(t.Context()))
		require.NoError(t, g.Run(t.Context()))
		assert.Empty(t, j.lines)
	})
}

func TestAGroupRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := cluster.NewGroup(parts(newJournal().act("front", 0, nil)))
		done, cut := begin(t, g)
		synctest.Wait()
		require.Error(t, g.Run(t.Context()))
		cut()
		require.NoError(t, <-done)
	})
}
