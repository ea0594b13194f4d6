package proxy

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// TestAheadIsALowerBound: of random queues, what is said to be before a new job
// really is, and within its own class not much more. Classes come and go meanwhile:
// one that has just had its turns leaves those that had none ahead by a cycle.
func TestAheadIsALowerBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 8), 1, 3).Draw(t, "weights")
		b, s := crowded(t, BalancerConfig{Weights: weights, Admission: AdmitDeadline})
		job := func(number int) *loopback.Job {
			class := rapid.IntRange(0, len(weights)-1).Draw(t, "class")
			return turnOf(rapid.Uint32Range(1, 5).Draw(t, "client"), uint8(class), number)
		}
		for n := range rapid.IntRange(0, 60).Draw(t, "jobs") {
			require.NoError(t, b.Submit(job(n)))
			b.queue.settle()
			if rapid.IntRange(0, 4).Draw(t, "serve") == 0 {
				served(b, s, 1)
			}
		}
		if rapid.Bool().Draw(t, "drain") {
			served(b, s, rapid.IntRange(0, 60).Draw(t, "served"))
		}
		last := job(1000)
		ahead := b.queue.order.ahead(last.Info.Client, last.Info.Priority)
		b.queue.settle()
		require.NoError(t, b.Submit(last))
		before := -1
		for i, j := range served(b, s, 100) {
			if j == last {
				before = i
			}
		}
		require.GreaterOrEqual(t, before, ahead)
		if len(weights) == 1 {
			require.LessOrEqual(t, before, ahead+5, "a round more at most, of five clients")
		}
	})
}

// A class that had its turns in a cycle of three stays behind by them when there
// are but two: the other has three turns before it has one.
func TestAheadKnowsOfCreditsOfAnEarlierCycle(t *testing.T) {
	b, s := crowded(t, BalancerConfig{Weights: []int{1, 3, 1}, Admission: AdmitDeadline})
	add := func(class uint8) *loopback.Job {
		job := turnOf(1, class, 1)
		require.NoError(t, b.Submit(job))
		b.queue.settle()
		return job
	}
	for _, class := range []uint8{0, 1, 1, 2} {
		add(class)
	}
	served(b, s, 1)
	add(0)
	served(b, s, 1)
	add(2)
	served(b, s, 1)
	ahead := b.queue.order.ahead(1, 2)
	last := add(2)
	jobs := served(b, s, 3)
	require.Same(t, last, jobs[2], "two are before it")
	assert.LessOrEqual(t, ahead, 2)
}

// choosy returns a station that has worked for long on jobs of 20 ms, with two
// slots: a job leaves the queue every 10 ms.
func choosy(t *testing.T) *station {
	s := newStation(BalancerConfig{Admission: AdmitDeadline}, 2, always(20*time.Millisecond))
	for range 1000 {
		require.NoError(t, s.arrive(1, time.Hour))
	}
	s.until(s.now.Add(5 * time.Second))
	require.InDelta(t, 500, s.b.Queued(), 5)
	return s
}

func TestAJobThatCannotBeDoneInTimeIsRefused(t *testing.T) {
	s := choosy(t)
	var e *DeadlineError
	require.ErrorAs(t, s.arrive(1, 4*time.Second), &e)
	require.ErrorIs(t, e, ErrDeadline)
	assert.InDelta(t, 5000, e.Wait.Milliseconds(), 200)
	assert.InDelta(t, 5000, e.Retry.Milliseconds(), 200)
	assert.Equal(t, 503, RefusalOf(e).Status)
	assert.Equal(t, e.Retry, RefusalOf(e).Retry)
	require.NoError(t, s.arrive(1, 7*time.Second), "it can")
	require.NoError(t, s.arrive(1, 0), "it has for ever")
	assert.ErrorIs(t, s.arrive(2, 10*time.Millisecond), ErrDeadline, "it takes longer itself")
}

func TestWhoIsNextByFairnessIsAdmitted(t *testing.T) {
	s := choosy(t)
	require.ErrorIs(t, s.arrive(1, time.Second), ErrDeadline)
	require.NoError(t, s.arrive(2, time.Second), "another client waits for one job")
	batch := turnOf(3, 1, 1)
	batch.Info.SetDeadline(s.now.Add(time.Second))
	require.NoError(t, s.b.Admit(batch, s.now), "another class for some")
}

func TestOnlyJobsOfFrontsAreRefusedForTheirDeadline(t *testing.T) {
	s := choosy(t)
	job := newJob(77, 1, 0)
	job.Info.SetDeadline(s.now.Add(time.Millisecond))
	require.NoError(t, s.b.Admit(job, s.now))
	require.NoError(t, s.b.Submit(job))
	s.b.Requeue(job) // to be next, as it is
	slot := anyOf(s.due)
	s.b.Idle(slot, nil, slot.held.key)
	a, ok := s.b.Next(s.now)
	require.True(t, ok)
	assert.Same(t, job, a.Job)
	assert.NotNil(t, a.Slot, "it has cost something: it is tried")
}

func anyOf[K comparable, V any](m map[K]V) (k K) {
	for k = range m {
		break
	}
	return k
}

// A job for which it has got too late while it waited, since others overtook it.
func TestAJobIsNotBegunInVain(t *testing.T) {
	s := choosy(t)
	require.NoError(t, s.arrive(2, time.Second))
	late := s.ids
	s.now = s.now.Add(990 * time.Millisecond) // nothing ended meanwhile
	for range 2 {
		slot := anyOf(s.due)
		delete(s.due, slot)
		s.b.Idle(slot, nil, slot.held.key)
		s.assign()
	}
	assert.Equal(t, 1, s.no[ErrDeadline])
	for slot := range s.due {
		assert.NotEqual(t, late, slot.held.key.ID)
	}
}

// One dear job says nothing of the next; nor do many, if nobody else wants the slot.
func TestAJobIsBegunWhereThatIsInNobodysWay(t *testing.T) {
	for name, before := range map[string]int{"behind one dear job": 1, "behind many": 50} {
		t.Run(name, func(t *testing.T) {
			s := newStation(BalancerConfig{Admission: AdmitDeadline}, 1, always(time.Second))
			for range before {
				require.NoError(t, s.arrive(1, time.Hour))
			}
			s.until(s.now.Add(time.Duration(before)*time.Second - 10*time.Millisecond))
			require.NoError(t, s.arrive(2, time.Second))
			s.until(s.now.Add(20 * time.Millisecond))
			require.Len(t, s.due, 1)
			assert.Equal(t, s.ids, anyOf(s.due).held.key.ID, "it has been begun")
			assert.Empty(t, s.no)
		})
	}
}

func TestWithoutThatAdmissionNothingIsComputed(t *testing.T) {
	s := newStation(BalancerConfig{}, 2, always(20*time.Millisecond))
	for range 1000 {
		require.NoError(t, s.arrive(1, time.Hour))
	}
	s.until(s.now.Add(5 * time.Second))
	require.NoError(t, s.arrive(1, time.Millisecond))
	assert.Zero(t, s.b.queue.order.ahead(1, 0))
}

func TestJobsOfFrontsAreRefusedWithoutWorkers(t *testing.T) {
	b := NewBalancer(BalancerConfig{NoWorkers: NoWorkersRefuse})
	s := b.Join(Butterfly, nil)
	require.ErrorIs(t, b.Submit(newJob(1, 0, 0)), ErrNoWorkers, "it has not beaten yet")
	require.NoError(t, b.Submit(newJob(2, 1, 0)), "of another stage")
	b.Idle(s, nil, wire.Key{})
	require.NoError(t, b.Submit(newJob(3, 0, 0)))
	b.Leave(s)
	require.ErrorIs(t, b.Submit(newJob(4, 0, 0)), ErrNoWorkers)
	require.NoError(t, NewBalancer(BalancerConfig{}).Submit(newJob(5, 0, 0)))
}

// TestGoodputUnderTenTimesTheLoad: clients wait for a second only, and there are
// ten times as many as can be served. A plain queue works off jobs that have just
// enough time left to be begun; admission by deadline does not.
func TestGoodputUnderTenTimesTheLoad(t *testing.T) {
	const while = 30 * time.Second
	costs := map[string]func(r *rand.Rand) time.Duration{
		"even":        func(*rand.Rand) time.Duration { return 20 * time.Millisecond },
		"exponential": func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * 20e6) },
		"mixed": func(r *rand.Rand) time.Duration {
			if r.IntN(10) == 0 {
				return 155 * time.Millisecond
			}
			return 5 * time.Millisecond
		},
	}
	for name, cost := range costs {
		for _, skew := range []time.Duration{0, wire.ClockSkew} {
			run := func(a Admission) (good float64) {
				r := rand.New(rand.NewPCG(3, 1))
				s := newStation(BalancerConfig{Admission: a, Skew: skew}, 2, func() time.Duration { return cost(r) })
				s.load(r, time.Millisecond, time.Second, while)
				good = float64(s.done) / while.Seconds() / 100
				t.Logf("%s: %.3f of what can be done was done in time, %d in vain, %d refused, %d expired",
					name, good, s.vain, s.no[ErrDeadline], s.no[ErrExpired])
				return good
			}
			t.Run(name+" "+skew.String(), func(t *testing.T) {
				assert.GreaterOrEqual(t, run(AdmitDeadline), 0.9)
				assert.Less(t, run(AdmitQueue), 0.8, "or this test shows nothing")
			})
		}
	}
}
