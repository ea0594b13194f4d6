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
	// hidden is how much processor time a look does not see: the collector's, and
	// what the jobs of one look take more than those of another.
	hidden = lookEvery / 4
	// patience is for how long a handler at most may have been kept from running.
	patience = 3 * lookEvery
)

// calm decides whether handlers are so short that few threads do more: waking
// another for each batch of microseconds costs more than it brings. Long handlers
// end the calm: one that runs for a look, or two within a calmTime.
//
// Where others want the cores, too, the kernel stops a thread in the midst of a
// short handler now and then, for milliseconds, and the more threads there are the
// more often. That handler has not been long: the process has used no more
// processor time than its jobs do at other times.
type calm struct {
	is   bool
	from time.Time          // since when there were no long handlers, or a calmTime ago
	then pipeline.PoolStats // the counters at from
	long time.Time          // when a look saw a long handler
	each float64            // processor time of a job, of late, in nanoseconds
	last pipeline.PoolStats
	used time.Duration // processor time of the process, at the last look
	at   time.Time     // of the last look
}

// look takes the counters of all handlers and the processor time that the process
// has used, and reports whether it is calm.
func (c *calm) look(now time.Time, s pipeline.PoolStats, used time.Duration) bool {
	switch long := c.sees(now.Sub(c.at), s, used-c.used); {
	case c.from.IsZero():
		c.begin(now, s)
	case long:
		if s.Oldest >= lookEvery || now.Sub(c.long) < calmTime {
			c.is = false
			c.begin(now, s)
		}
		c.long = now
	case now.Sub(c.from) >= calmTime:
		switch jobs, busy := s.Jobs-c.then.Jobs, s.Busy-c.then.Busy; {
		case busy > calmTime/2:
			c.is = false
		case jobs >= calmJobs:
			c.is = true
		}
		c.begin(now, s)
	}
	c.last, c.used, c.at = s, used, now
	return c.is
}

func (c *calm) begin(now time.Time, s pipeline.PoolStats) { c.from, c.then = now, s }

// sees reports whether there was a long handler within the span that ends now, in
// which the process has used so much processor time.
func (c *calm) sees(span time.Duration, s pipeline.PoolStats, used time.Duration) bool {
	busy, jobs := s.Busy-c.last.Busy, s.Jobs-c.last.Jobs
	many := jobs >= uint64(calmJobs*lookEvery/time.Second)
	switch long := s.Oldest >= longJob || busy > span/2 || jobs > 0 && busy/time.Duration(jobs) >= longJob; {
	case !long:
		if many {
			c.learn(float64(used) / float64(jobs))
		}
		return false
	case many && s.Oldest < patience && c.each > 0 && float64(used) < c.each*float64(jobs)+float64(hidden):
		return false // it was not let run
	default:
		return true
	}
}

func (c *calm) learn(each float64) {
	if c.each == 0 {
		c.each = each
	}
	c.each += (each - c.each) / 16
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
			if c.look(now, stats(), processorTime()) {
				want = t.calm
			}
			if want != used {
				used = want
				runtime.GOMAXPROCS(want)
			}
		}
	}
}
