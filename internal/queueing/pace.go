package queueing

import (
	"math"
	"slices"
	"time"
)

// LeastJobs is how many jobs have to end before a Pace makes something of them.
const LeastJobs = 4

// How long a Pace remembers: what is older than paceTime and than the last
// paceJobs jobs fades, so that a stage of fast jobs follows within seconds, and
// one of slow jobs still knows some. Of fewer than LeastJobs it makes nothing.
const (
	paceTime = 5 * time.Second
	paceJobs = 16
	foldTime = 100 * time.Millisecond
)

// Pace measures what a stage is able to do: how much time passes per job while
// no slot is idle. When slots are idle the jobs done tell how many came, and
// nothing about how many could be done, so that is not measured.
//
// The wait of a job behind others is the time in which as many jobs end as are
// before it: their number times the mean, by time, over the whole mix of jobs,
// be some of them a thousand times as dear as others. It is no matter of a
// median, nor of slots and their service times, of which some may be stuck or
// contend for one core. A stretch in which nothing ends counts too, as time
// without jobs: that the mean goes up with it only slowly errs on the fast side.
//
// How long a single job is going to take is another question, whose answer is
// the median: the service time.
//
// It is a value without clock and lock: its owner serializes the calls.
type Pace struct {
	last  time.Time     // until when is counted; zero: a slot is idle
	count uint64        // jobs done by then
	busy  time.Duration // fading, as jobs is
	jobs  float64
	// What has come since it last faded.
	newBusy time.Duration
	newJobs uint64

	service time.Duration   // median; 0: unknown
	first   []time.Duration // service times of the first LeastJobs, until they are there
	began   [4]time.Time    // of jobs that ended since the clock was read; more are left out
	ended   int
}

// Finish notes a job that ended, for the service time. The moment is that of
// the next Observe.
func (p *Pace) Finish(since time.Time) {
	if p.ended < len(p.began) && !since.IsZero() {
		p.began[p.ended] = since
		p.ended++
	}
}

// Observe counts until now, with done as the number of jobs that have ended
// so far. No slot has been idle since the last time, unless Pause was called.
func (p *Pace) Observe(now time.Time, done uint64) {
	for _, since := range p.began[:p.ended] {
		p.learn(now.Sub(since))
	}
	p.ended = 0
	if !p.last.IsZero() {
		if passed := now.Sub(p.last); passed > 0 {
			p.newBusy += passed
		} else {
			now = p.last
		}
		p.newJobs += done - p.count
		if p.newBusy >= foldTime {
			p.fold()
		}
	}
	p.last, p.count = now, done
}

// Begin says that no slot is idle from now on, with done as in Observe. Where that is
// known already it does nothing.
func (p *Pace) Begin(now time.Time, done uint64) {
	if p.last.IsZero() {
		p.last, p.count = now, done
	}
}

// Pause says that a slot is idle.
func (p *Pace) Pause() { p.last, p.ended = time.Time{}, 0 }

// fold lets the past fade by as much as is new.
func (p *Pace) fold() {
	keep := max(math.Exp(-float64(p.newBusy)/float64(paceTime)), math.Exp(-float64(p.newJobs)/paceJobs))
	p.busy = time.Duration(float64(p.busy)*keep) + p.newBusy
	p.jobs = p.jobs*keep + float64(p.newJobs)
	p.newBusy, p.newJobs = 0, 0
}

// learn moves the median by a sixteenth towards a service time. Steps are
// proportional since costs are, and small since they come often: so it begins with
// that of some, as from one dear job it were a long way to the others.
func (p *Pace) learn(took time.Duration) {
	took = max(took, 1)
	switch {
	case p.service == 0:
		if p.first = append(p.first, took); len(p.first) == LeastJobs {
			slices.Sort(p.first)
			p.service, p.first = p.first[(LeastJobs-1)/2], nil
		}
	case took > p.service:
		p.service += p.service/16 + 1
	case took < p.service:
		p.service -= p.service / 16
	}
}

// Interval returns how long it takes, in the mean, until the next of the jobs
// that wait gets a slot; 0: too little is known.
func (p *Pace) Interval() time.Duration {
	jobs := p.jobs + float64(p.newJobs)
	if jobs < LeastJobs {
		return 0
	}
	return time.Duration(float64(p.busy+p.newBusy) / jobs)
}

// Service returns how long a job is most likely to take; 0: unknown.
func (p *Pace) Service() time.Duration { return p.service }

// Busy returns for how long no slot was idle, and how many jobs ended meanwhile,
// both fading.
func (p *Pace) Busy() (busy time.Duration, jobs float64) {
	return p.busy + p.newBusy, p.jobs + float64(p.newJobs)
}

// Waits returns how long it takes until n jobs have got slots, at most a day;
// 0 where nothing is known.
func (p *Pace) Waits(n int) time.Duration {
	const most = 24 * time.Hour
	interval := p.Interval()
	if interval > 0 && n > int(most/interval) {
		return most
	}
	return time.Duration(n) * interval
}
