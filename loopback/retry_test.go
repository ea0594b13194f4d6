package loopback_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// outlet is a stage that may be lost: it notes the jobs that are submitted.
type outlet struct {
	table *loopback.Table
	now   *time.Time
	leads []loopback.Losable
	jobs  []*loopback.Job
	holds []wire.Key
	full  bool
}

func (o *outlet) Submit(job *loopback.Job, _ transport.Notifier) error {
	if o.full {
		return transport.ErrClosed
	}
	o.table.Submitted(job, o, *o.now)
	o.jobs = append(o.jobs, job)
	return nil
}

func (o *outlet) Leads(to loopback.Losable) bool {
	return to == loopback.Losable(o) || slices.Contains(o.leads, to)
}

func (o *outlet) Held(_ uint64, add func(wire.Key)) {
	for _, key := range o.holds {
		add(key)
	}
}

// last returns the key of the job that was submitted last.
func (o *outlet) last() wire.Key { return o.jobs[len(o.jobs)-1].Info.Key() }

// calls collects roll calls, and interrupts.
type calls struct {
	keys
	numbers []uint32
}

func (c *calls) RollCall(number uint32, _ time.Duration) { c.numbers = append(c.numbers, number) }

// losing is a front in no time but that of the test, with two stages one behind
// the other, and what it asks.
type losing struct {
	t             *testing.T
	now           time.Time
	table         *loopback.Table
	first, second *outlet
	asked         *calls
}

func newLosing(t *testing.T, cfg loopback.TableConfig) *losing {
	table, err := loopback.NewTable(cfg)
	require.NoError(t, err)
	l := &losing{t: t, now: time.Unix(1_700_000_000, 0), table: table, asked: &calls{}}
	l.second = &outlet{table: table, now: &l.now}
	l.first = &outlet{table: table, now: &l.now, leads: []loopback.Losable{l.second}}
	table.Notify(l.asked)
	table.Watch(l.first)
	table.Watch(l.second)
	return l
}

// ask opens a request and submits its job.
func (l *losing) ask(flags wire.Flags) *loopback.Pending {
	p, err := l.table.Open(loopback.Ask{Now: l.now, Deadline: l.now.Add(time.Minute)})
	require.NoError(l.t, err)
	p.Info().Flags |= flags
	require.NoError(l.t, l.first.Submit(&loopback.Job{Info: *p.Info(), Payload: wire.Frames{[]byte("job")}}, nil))
	l.now = l.now.Add(time.Millisecond)
	return p
}

// lose loses the proxy of a stage, and lets the time pass until the roll call.
func (l *losing) lose(s *outlet) {
	l.table.StageLost(s, l.now)
	l.pass(500 * time.Millisecond)
}

func (l *losing) pass(d time.Duration) {
	for end := l.now.Add(d); ; {
		next, any := l.table.Tick(l.now)
		if !any || next.After(end) {
			l.now = end
			l.table.Tick(l.now)
			return
		}
		l.now = next
	}
}

// claim says in the latest roll call that somebody holds jobs.
func (l *losing) claim(held ...wire.Key) (dead []wire.Key) {
	number := uint32(0)
	if n := len(l.asked.numbers); n > 0 {
		number = l.asked.numbers[n-1]
	}
	c, err := wire.ParseClaim(wire.AppendClaim(nil, l.table.Instance(), number, held))
	require.NoError(l.t, err)
	return l.table.Claimed(&c, l.now)
}

func (l *losing) answer(key wire.Key, code uint16, text string) {
	info := wire.Info{ID: key.ID, Time: key.Time, Code: code}
	info.Extend()
	info.Instance = key.Instance
	require.NoError(l.t, l.table.Answer(answer(info, text), nil))
}

func (l *losing) ended(p *loopback.Pending) (string, error) {
	require.Len(l.t, p.Done(), 1, "the request has ended")
	a, err := p.Wait()
	if err != nil {
		return "", err
	}
	return string(a.Payload.Frames()[0]), nil
}

func TestWhatNobodyClaimsAfterALossIsRepeatedOrRefused(t *testing.T) {
	for name, lost := range map[string]func(*losing) *outlet{
		"of the first stage": func(l *losing) *outlet { return l.first },
		"of a later stage":   func(l *losing) *outlet { return l.second },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLosing(t, loopback.TableConfig{})
			get, post, held := l.ask(wire.Repeatable), l.ask(0), l.ask(0)
			first, heldKey := get.Info().Key(), held.Info().Key()
			l.lose(lost(l))
			require.Equal(t, []uint32{1}, l.asked.numbers, "asked half the grace after the loss")
			assert.Empty(t, l.claim(heldKey))
			late := l.ask(0) // submitted after the loss
			l.pass(498 * time.Millisecond)
			assert.Empty(t, post.Done(), "not before the grace is over")
			l.pass(time.Millisecond)

			_, err := l.ended(post)
			require.ErrorIs(t, err, loopback.ErrLost)
			assert.Empty(t, held.Done())
			assert.Empty(t, late.Done())
			require.Len(t, l.first.jobs, 5)
			again := l.first.jobs[4]
			assert.NotEqual(t, first, again.Info.Key(), "under another key")
			assert.Equal(t, first.String(), again.Info.RequestID(), "and the old name")
			assert.Equal(t, l.first.jobs[0].Info.Deadline, again.Info.Deadline)
			assert.ElementsMatch(t, []wire.Key{first, post.Info().Key()}, l.asked.all(), "whoever does them after all is stopped")

			l.answer(again.Info.Key(), 200, "right")
			got, err := l.ended(get)
			require.NoError(t, err)
			assert.Equal(t, "right", got)
			l.answer(heldKey, 200, "held")
			l.answer(late.Info().Key(), 200, "late")
			assert.Equal(t, 0, l.table.Len())
			assert.EqualValues(t, 1, l.table.Stats().Retried)
		})
	}
}

func TestAnAnswerUnderAnyKeyOfARequestWinsAndTheOthersAreStopped(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	p := l.ask(wire.Repeatable)
	old := p.Info().Key()
	l.lose(l.first)
	l.pass(500 * time.Millisecond)
	again := l.first.last()
	require.NotEqual(t, old, again)

	assert.Equal(t, []wire.Key{old}, l.claim(old), "who holds the old job hears that nobody waits for it")
	l.answer(old, 502, "the worker was lost")
	assert.Empty(t, p.Done(), "what became of the old job does not matter")
	l.answer(old, 200, "after all")
	got, err := l.ended(p)
	require.NoError(t, err)
	assert.Equal(t, "after all", got)
	assert.Contains(t, l.asked.all(), again, "the new job is stopped")
	l.answer(again, 200, "late")
	assert.EqualValues(t, 2, l.table.Stats().Late)
	assert.Zero(t, l.table.Len())
}

func TestALossIsRepeatedTwiceAtMost(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	p := l.ask(wire.Repeatable)
	for range 3 {
		assert.Empty(t, p.Done())
		l.lose(l.second)
		l.pass(500 * time.Millisecond)
	}
	assert.Len(t, l.first.jobs, 3)
	_, err := l.ended(p)
	require.ErrorIs(t, err, loopback.ErrLost)
	assert.Subset(t, l.asked.all(), []wire.Key{l.first.jobs[0].Info.Key(), l.first.jobs[1].Info.Key(), l.first.jobs[2].Info.Key()})
}

func TestAnAnswerThatSaysLostIsRepeatedAtOnce(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	get, post := l.ask(wire.Repeatable), l.ask(0)
	for _, p := range []*loopback.Pending{get, post} {
		info := *p.Info()
		info.Flags |= wire.Lost
		info.Code = 502
		require.NoError(t, l.table.Answer(answer(info, "lost"), nil))
	}
	got, err := l.ended(post)
	require.NoError(t, err)
	assert.Equal(t, "lost", got)
	assert.Len(t, l.first.jobs, 3)
	l.answer(l.first.last(), 200, "right")
	got, err = l.ended(get)
	require.NoError(t, err)
	assert.Equal(t, "right", got)
}

func TestJobsThatWaitAtTheFrontAreNotLost(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	p := l.ask(0)
	l.first.holds = []wire.Key{p.Info().Key()}
	l.lose(l.first)
	l.pass(500 * time.Millisecond)
	assert.Empty(t, p.Done())
}

func TestARequestThatCannotBeRepeatedNowIsRefused(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	p := l.ask(wire.Repeatable)
	l.first.full = true
	l.lose(l.first)
	l.pass(500 * time.Millisecond)
	_, err := l.ended(p)
	require.ErrorIs(t, err, loopback.ErrLost)
	assert.Zero(t, l.table.Len())
}

func TestALossDoesNotMatterToOtherRoutesOrWhenItIsNotLookedFor(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	p, err := l.table.Open(loopback.Ask{Now: l.now})
	require.NoError(t, err)
	require.NoError(t, l.second.Submit(&loopback.Job{Info: *p.Info()}, nil))
	l.lose(l.first)
	l.pass(time.Hour)
	assert.Empty(t, p.Done())

	l = newLosing(t, loopback.TableConfig{ProxyGrace: -1})
	p = l.ask(0)
	l.lose(l.first)
	l.pass(20 * time.Second)
	assert.Empty(t, p.Done())
	assert.Empty(t, l.asked.numbers)
}

// Who was cut off from a dead proxy notices by heartbeats, later than the front,
// and may have sent jobs there until then.
func TestTheRollIsCalledOnceMore(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	l.table.StageLost(l.second, l.now)
	l.pass(7 * time.Second)
	early := l.ask(0)
	l.pass(time.Second)
	late := l.ask(0)
	l.pass(3 * time.Second)
	assert.Equal(t, []uint32{1, 2}, l.asked.numbers)
	_, err := l.ended(early)
	require.ErrorIs(t, err, loopback.ErrLost)
	assert.Empty(t, late.Done())
}

// A claim holds for the roll calls that its sender has heard, and not for one
// that is yet to come.
func TestClaimsCountForWhatTheyAnswer(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	p, q := l.ask(0), l.ask(0)
	l.lose(l.first)
	l.claim(p.Info().Key(), q.Info().Key())
	l.pass(100 * time.Millisecond)
	l.lose(l.second) // what was claimed may have gone to the dead proxy since
	l.claim(q.Info().Key())
	l.pass(400 * time.Millisecond)
	c, err := wire.ParseClaim(wire.AppendClaim(nil, l.table.Instance(), 99, []wire.Key{p.Info().Key()}))
	require.NoError(t, err)
	l.table.Claimed(&c, l.now) // of no roll call
	l.pass(500 * time.Millisecond)
	_, err = l.ended(p)
	require.ErrorIs(t, err, loopback.ErrLost)
	assert.Empty(t, q.Done())
}

// Who holds jobs of a front that has just started has to find it first.
func TestAFrontThatHasJustStartedAsksLater(t *testing.T) {
	for name, lose := range map[string]func(*losing){
		"a proxy":    func(l *losing) { l.table.StageLost(l.first, l.now) },
		"in between": func(l *losing) { l.table.StageLost(nil, l.now) },
		"often": func(l *losing) {
			for range 100 {
				l.table.StageLost(nil, l.now)
				l.pass(time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLosing(t, loopback.TableConfig{ProxyGrace: 200 * time.Millisecond})
			start := l.now
			l.pass(10 * time.Millisecond)
			p := l.ask(0)
			lose(l)
			l.pass(start.Add(999 * time.Millisecond).Sub(l.now))
			assert.Empty(t, l.asked.numbers)
			l.pass(time.Millisecond)
			require.Equal(t, []uint32{1}, l.asked.numbers)
			assert.Empty(t, l.claim(p.Info().Key()))
			l.pass(time.Second)
			assert.Empty(t, p.Done(), "found in time")

			l.table.StageLost(l.first, l.now) // grown up
			l.pass(100 * time.Millisecond)
			assert.Len(t, l.asked.numbers, 2)
		})
	}
}

func TestClaimsOfAnotherFrontSayNothing(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	c, err := wire.ParseClaim(wire.AppendClaim(nil, l.table.Instance()+1, 0, []wire.Key{{Instance: 1, ID: 2}}))
	require.NoError(t, err)
	assert.Empty(t, l.table.Claimed(&c, l.now))
	unknown := wire.Key{Instance: l.table.Instance(), ID: 7}
	assert.Equal(t, []wire.Key{unknown}, l.claim(unknown))
}

// A worker lost a connection to a next stage that the front does not know of.
func TestALossBetweenOthersIsLookedInto(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	p, held := l.ask(0), l.ask(0)
	loss, err := wire.ParseClaim(wire.AppendLoss(nil, l.table.Instance()))
	require.NoError(t, err)
	for range 1000 { // or a hostile one, again and again
		assert.Empty(t, l.table.Claimed(&loss, l.now))
		l.pass(time.Millisecond)
	}
	assert.Equal(t, []uint32{1}, l.asked.numbers, "asked at the end of the grace at the latest")
	l.claim(held.Info().Key())
	l.pass(500 * time.Millisecond)
	_, err = l.ended(p)
	require.ErrorIs(t, err, loopback.ErrLost)
	assert.Empty(t, held.Done())
}

func TestLossesAreRememberedWithinBounds(t *testing.T) {
	l := newLosing(t, loopback.TableConfig{})
	for range 1000 {
		l.table.StageLost(l.first, l.now)
		l.now = l.now.Add(time.Microsecond)
	}
	l.pass(time.Minute)
	assert.LessOrEqual(t, len(l.asked.numbers), 64)
	_, any := l.table.Tick(l.now)
	assert.False(t, any, "nothing is left to do")
}
