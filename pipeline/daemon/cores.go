package daemon

import (
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// oneCore keeps a proxy on one core unless GOMAXPROCS says otherwise: its work
// is in one place anyhow, and waking a second thread for a few microseconds of
// it costs more processor time than it saves.
func oneCore() {
	if threadsAreOurs() {
		runtime.GOMAXPROCS(1)
	}
}

// threadsAreOurs reports whether the user has left the number of threads to us.
func threadsAreOurs() bool { return os.Getenv("GOMAXPROCS") == "" }

const (
	// lookEvery is how often the handlers are looked at. One that begins to
	// compute on the only thread is noticed when the runtime preempts it, after
	// 10 ms.
	lookEvery = 10 * time.Millisecond
	// longJob is what a handler takes at least that is worth a thread of its own.
	longJob = time.Millisecond
	// calmTime is how long all handlers have to be short before threads are
	// given up.
	calmTime = time.Second
	// calmJobs is how many jobs a second make it worth while.
	calmJobs = 2000
)

// calm decides whether handlers are so short that few threads do more: waking
// another for each batch of microseconds costs more than it brings. One long
// handler ends the calm.
type calm struct {
	is   bool
	jobs uint64    // when it began, or was last looked at after a calmTime
	from time.Time // since when
	last pipeline.PoolStats
	at   time.Time // of last
}

// look takes the counters of all handlers, and reports whether it is calm.
func (c *calm) look(now time.Time, s pipeline.PoolStats) bool {
	busy, span := s.Busy-c.last.Busy, now.Sub(c.at)
	jobs := s.Jobs - c.last.Jobs
	long := s.Oldest >= longJob || busy > span/2 || jobs > 0 && busy/time.Duration(jobs) >= longJob
	c.last, c.at = s, now
	switch {
	case long || c.from.IsZero():
		c.is, c.from, c.jobs = false, now, s.Jobs
	case now.Sub(c.from) >= calmTime:
		if s.Jobs-c.jobs >= calmJobs {
			c.is = true
		}
		c.from, c.jobs = now, s.Jobs
	}
	return c.is
}

// threads are how many threads run Go code: while it is calm, and otherwise.
type threads struct{ calm, busy int }

// adaptWorker sees to the threads of a process of workers alone. Two for each
// core while handlers compute: were all threads theirs, the runtime would look
// at connections every 10 ms only.
func adaptWorker(w counting) (stop func()) {
	return threads{1, 2 * runtime.GOMAXPROCS(0)}.adapt(w.Stats)
}

// adaptProcess sees to the threads of a process that holds front and stages.
func adaptProcess(stats func() []cluster.StageStats) (stop func()) {
	cores := runtime.GOMAXPROCS(0)
	return threads{cores, 2 * cores}.adapt(func() pipeline.PoolStats { return total(stats()) })
}

// total adds the counters of stages up.
func total(stages []cluster.StageStats) pipeline.PoolStats {
	var all pipeline.PoolStats
	for _, s := range stages {
		all.Slots += s.Slots
		all.Jobs += s.Jobs
		all.Failed += s.Failed
		all.Busy += s.Busy
		all.Oldest = max(all.Oldest, s.Oldest)
	}
	return all
}

// adapt looks at the handlers until stop is called, which joins and gives the
// threads back. It begins as if they were long.
func (t threads) adapt(stats func() pipeline.PoolStats) (stop func()) {
	if !threadsAreOurs() {
		return func() {}
	}
	before := runtime.GOMAXPROCS(t.busy)
	end := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() { t.run(stats, end) })
	return func() {
		close(end)
		loop.Wait()
		runtime.GOMAXPROCS(before)
	}
}

func (t threads) run(stats func() pipeline.PoolStats, end <-chan struct{}) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var c calm
	used := t.busy
	for {
		select {
		case <-end:
			return
		case now := <-ticker.C:
			want := t.busy
			if c.look(now, stats()) {
				want = t.calm
			}
			if want != used {
				used = want
				runtime.GOMAXPROCS(want)
			}
		}
	}
}
