package proxy

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// station is a Balancer with slots in virtual time: jobs take what cost says, the
// clients of those that are late have left.
type station struct {
	b      *Balancer
	now    time.Time
	cost   func() time.Duration
	due    map[*Slot]time.Time    // when a slot that has a job is done
	open   map[wire.Key]time.Time // jobs whose clients wait, and until when
	leaves []wire.Key             // those that were in open, the first to leave first if all wait as long
	done   int                    // before their deadline
	vain   int                    // begun, and done behind it
	no     map[error]int          // refusals, by what they match
	ids    uint32
}

func newStation(c BalancerConfig, slots int, cost func() time.Duration) *station {
	s := &station{
		b: NewBalancer(c), now: time.Unix(1_700_000_000, 0), cost: cost,
		due: map[*Slot]time.Time{}, open: map[wire.Key]time.Time{}, no: map[error]int{},
	}
	for range slots {
		slot := s.b.Join(Butterfly, nil)
		s.b.Idle(slot, nil, wire.Key{})
	}
	return s
}

// arrive lets a job of a front come that has until its deadline; 0: for ever.
func (s *station) arrive(client uint32, timeout time.Duration) error {
	s.ids++
	job := newJob(s.ids, 0, 0)
	job.Info.Client = client
	if timeout > 0 {
		job.Info.SetDeadline(s.now.Add(timeout))
	}
	err := s.b.Admit(job, s.now)
	if err == nil {
		err = s.b.Submit(job)
	}
	if err != nil {
		s.refused(err)
		return err
	}
	if timeout > 0 {
		s.open[job.Info.Key()] = s.now.Add(timeout)
		s.leaves = append(s.leaves, job.Info.Key())
	}
	s.assign()
	return nil
}

func (s *station) refused(err error) {
	for _, known := range []error{ErrQueueFull, ErrDeadline, ErrExpired} {
		if errorIs(err, known) {
			s.no[known]++
		}
	}
}

func errorIs(err, target error) bool {
	is, ok := err.(interface{ Is(error) bool })
	return err == target || ok && is.Is(target)
}

func (s *station) assign() {
	for a, ok := s.b.Next(s.now); ok; a, ok = s.b.Next(s.now) {
		if a.Slot == nil {
			s.refused(a.Err)
			delete(s.open, a.Job.Info.Key())
			continue
		}
		s.due[a.Slot] = s.now.Add(s.cost())
	}
}

// until works until a moment.
func (s *station) until(end time.Time) {
	for {
		var first *Slot
		for slot, at := range s.due {
			if first == nil || at.Before(s.due[first]) {
				first = slot
			}
		}
		if first == nil || s.due[first].After(end) {
			break
		}
		s.now = s.due[first]
		s.leave()
		delete(s.due, first)
		key := first.held.key
		if by, waits := s.open[key]; waits && !s.now.After(by) {
			s.done++
		} else {
			s.vain++
		}
		delete(s.open, key)
		s.b.Idle(first, nil, key)
		s.assign()
	}
	s.now = end
	s.leave()
}

// leave interrupts the jobs whose clients do not wait any more.
func (s *station) leave() {
	for len(s.leaves) > 0 && s.now.After(s.open[s.leaves[0]]) {
		key := s.leaves[0]
		s.leaves = s.leaves[1:]
		if _, waits := s.open[key]; waits {
			delete(s.open, key)
			s.b.Cancel(key)
		}
	}
}

// load lets jobs come at random times with a mean gap, for a while.
func (s *station) load(r *rand.Rand, gap, timeout, while time.Duration) {
	end := s.now.Add(while)
	for {
		next := s.now.Add(time.Duration(r.ExpFloat64() * float64(gap)))
		if next.After(end) {
			s.until(end)
			return
		}
		s.until(next)
		_ = s.arrive(1+r.Uint32N(20), timeout)
	}
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

func TestAPaceIsWhatAStageCanDoAndNotWhatIsAsked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	s := newStation(BalancerConfig{}, 4, always(20*time.Millisecond))
	s.load(r, 50*time.Millisecond, 0, 20*time.Second) // a tenth of what it can do
	quiet := s.b.pace.Interval()
	s.load(r, time.Millisecond, 0, 20*time.Second)
	assert.InDelta(t, 5, s.b.pace.Interval().Seconds()*1e3, 0.1, "milliseconds per job")
	assert.True(t, quiet == 0 || quiet < 10*time.Millisecond, "measured %v while slots were idle", quiet)
	assert.InDelta(t, 20, s.b.pace.Service().Seconds()*1e3, 2)
	assert.InEpsilon(t, 5*s.b.Queued(), s.b.Wait().Milliseconds(), 0.05)
}

// Jobs of which a few are a thousand times as dear as the others: those that wait
// wait for the mean of the mix, and a single one is most likely a cheap one.
func TestAPaceOfMixedCosts(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	cost := func() time.Duration {
		if r.IntN(20) == 0 {
			return time.Second
		}
		return time.Millisecond
	}
	s := newStation(BalancerConfig{}, 8, cost) // 6.4 ms a job
	s.load(r, time.Millisecond, 0, 30*time.Second)
	assert.InDelta(t, 6.4, s.b.pace.Interval().Seconds()*1e3, 2)
	assert.Less(t, s.b.pace.Service(), 10*time.Millisecond)
	expected, waiting := s.b.Wait(), s.b.Queued()
	require.Greater(t, waiting, 10_000)
	began := s.now
	for s.b.Queued() > 0 {
		s.until(s.now.Add(10 * time.Millisecond))
	}
	assert.InEpsilon(t, s.now.Sub(began).Seconds(), expected.Seconds(), 0.25, "the wait of %d jobs", waiting)
}

func TestAPaceFollowsTheStage(t *testing.T) {
	cost := time.Second
	s := newStation(BalancerConfig{}, 2, func() time.Duration { return cost })
	for range 10_000 {
		require.NoError(t, s.arrive(1, 0))
	}
	s.until(s.now.Add(20 * time.Second))
	assert.InDelta(t, 500, s.b.pace.Interval().Milliseconds(), 30, "slow jobs are remembered, too")
	cost = 10 * time.Millisecond
	s.until(s.now.Add(2 * time.Second))
	assert.Less(t, s.b.pace.Interval(), 50*time.Millisecond, "faster: at once")
	s.until(s.now.Add(10 * time.Second))
	cost = 100 * time.Millisecond
	s.until(s.now.Add(25 * time.Second))
	assert.InDelta(t, 50, s.b.pace.Interval().Milliseconds(), 10, "slower: in time")
}

func TestAStageThatDoesNothingIsMeasuredSlowly(t *testing.T) {
	cost := 2 * time.Millisecond
	s := newStation(BalancerConfig{}, 2, func() time.Duration { return cost })
	for range 20_000 {
		require.NoError(t, s.arrive(1, 0))
	}
	s.until(s.now.Add(10 * time.Second))
	before := s.b.pace.Interval()
	cost = time.Hour
	s.until(s.now.Add(time.Second)) // both slots have such a job
	s.assign()                      // the clock's tick
	after := s.b.pace.Interval()
	assert.Greater(t, after, before)
	assert.Less(t, after, 2*before, "one dear job does not make a queue of cheap ones hopeless")
}

func TestTimeWithoutWorkersIsNotMeasured(t *testing.T) {
	s := newStation(BalancerConfig{}, 1, always(10*time.Millisecond))
	for range 1000 {
		require.NoError(t, s.arrive(1, 0))
	}
	s.until(s.now.Add(5 * time.Second))
	for slot := range s.due {
		s.b.Leave(slot)
	}
	clear(s.due)
	for range 600 { // a minute of ticks
		s.now = s.now.Add(100 * time.Millisecond)
		s.assign()
	}
	assert.InDelta(t, 10, s.b.pace.Interval().Milliseconds(), 1)
}

func TestOfTooFewJobsNothingIsMade(t *testing.T) {
	s := newStation(BalancerConfig{Admission: AdmitDeadline}, 1, always(10*time.Second))
	for range 100 {
		require.NoError(t, s.arrive(1, 15*time.Second))
	}
	s.until(s.now.Add(11 * time.Second))
	assert.Zero(t, s.b.Wait())
	require.NoError(t, s.arrive(1, 15*time.Second), "one job proves nothing")
}
