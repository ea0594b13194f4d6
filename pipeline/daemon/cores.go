package daemon

import (
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// oneCore keeps a proxy on one core unless GOMAXPROCS says otherwise: its work
// is in one place anyhow, and waking a second thread for a few microseconds of
// it costs more processor time than it saves.
func oneCore() {
	if coresAreOurs() {
		runtime.GOMAXPROCS(1)
	}
}

// coresAreOurs reports whether the user has left the number of cores to us.
func coresAreOurs() bool { return os.Getenv("GOMAXPROCS") == "" }

const (
	// coreTick is how often the worker is looked at. A handler that begins to
	// compute on the only core is noticed when the runtime preempts it, after
	// 10 ms.
	coreTick = 10 * time.Millisecond
	// longJob is what a handler takes at least that is worth a core of its own.
	longJob = time.Millisecond
	// calmTime is how long all handlers have to be short before cores are
	// given up.
	calmTime = time.Second
	// calmJobs is how many jobs a second make it worth while.
	calmJobs = 2000
)

// cores decides how many cores a worker process uses: one while its handlers
// take microseconds, since then waking another thread for each costs more than
// it brings, and all as soon as one takes longer.
type cores struct {
	one  bool
	jobs uint64 // when the calm began
	calm time.Time
	last pipeline.PoolStats
	at   time.Time // of last
}

// look takes the worker's counters, and reports whether it should use one core.
func (c *cores) look(now time.Time, s pipeline.PoolStats) (one bool) {
	busy, span := s.Busy-c.last.Busy, now.Sub(c.at)
	jobs := s.Jobs - c.last.Jobs
	long := s.Oldest >= longJob || busy > span/2 || jobs > 0 && busy/time.Duration(jobs) >= longJob
	c.last, c.at = s, now
	switch {
	case long || c.calm.IsZero():
		c.one, c.calm, c.jobs = false, now, s.Jobs
	case now.Sub(c.calm) >= calmTime:
		if s.Jobs-c.jobs >= calmJobs {
			c.one = true
		}
		c.calm, c.jobs = now, s.Jobs
	}
	return c.one
}

// adaptCores looks at w until stop is called, which joins.
func adaptCores(w *pipeline.Worker) (stop func()) {
	all := runtime.GOMAXPROCS(0)
	if !coresAreOurs() || all == 1 {
		return func() {}
	}
	end := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		ticker := time.NewTicker(coreTick)
		defer ticker.Stop()
		var c cores
		used := all
		for {
			select {
			case <-end:
				return
			case now := <-ticker.C:
				want := all
				if c.look(now, w.Stats()) {
					want = 1
				}
				if want != used {
					used = want
					runtime.GOMAXPROCS(want)
				}
			}
		}
	})
	return func() {
		close(end)
		loop.Wait()
	}
}
