package loopback_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// keys collects interrupts.
type keys struct {
	mu  sync.Mutex // guards got
	got []wire.Key
}

func (k *keys) Interrupt(key wire.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, key)
}

func (k *keys) all() []wire.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]wire.Key(nil), k.got...)
}

func newTable(t *testing.T, cfg loopback.TableConfig) (*loopback.Table, *keys) {
	t.Helper()
	table, err := loopback.NewTable(cfg)
	require.NoError(t, err)
	heard := &keys{}
	table.Notify(heard)
	return table, heard
}

func open(t *testing.T, table *loopback.Table, a loopback.Ask) *loopback.Pending {
	t.Helper()
	p, err := table.Open(a)
	require.NoError(t, err)
	return p
}

func answer(info wire.Info, text string) loopback.Answer {
	return loopback.Answer{Info: info, Payload: wire.Frames{[]byte(text)}}
}

func TestFirstAnswerWins(t *testing.T) {
	table, heard := newTable(t, loopback.TableConfig{})
	p := open(t, table, loopback.Ask{})
	info := *p.Info()
	require.NoError(t, table.Answer(answer(info, "first"), nil))
	require.NoError(t, table.Answer(answer(info, "second"), nil))

	a, err := p.Wait()
	require.NoError(t, err)
	assert.Equal(t, "first", string(a.Payload.Frames()[0]))
	p.Abandon(loopback.ErrGone) // too late to matter
	p.Release()
	assert.Empty(t, heard.all(), "an answered request interrupts nobody")
	assert.Equal(t, loopback.Stats{Opened: 1, Answered: 1, Late: 1}, table.Stats())
	assert.Zero(t, table.Len())
}

// The parts of a scattered request that are still worked on are stopped by the
// answer, once.
func TestAnswersStopTheOtherParts(t *testing.T) {
	table, heard := newTable(t, loopback.TableConfig{})
	p := open(t, table, loopback.Ask{})
	info := *p.Info()
	info.Flags |= wire.Scattered
	require.NoError(t, table.Answer(answer(info, "first"), nil))
	require.NoError(t, table.Answer(answer(info, "second"), nil))
	_, err := p.Wait()
	require.NoError(t, err)
	assert.Equal(t, []wire.Key{info.Key()}, heard.all())
	forged := info
	forged.ID++
	require.NoError(t, table.Answer(answer(forged, "nobody asked"), nil))
	assert.Len(t, heard.all(), 1)
}

func TestForgedAnswersAreDropped(t *testing.T) {
	table, _ := newTable(t, loopback.TableConfig{})
	p := open(t, table, loopback.Ask{})
	for name, forge := range map[string]func(*wire.Info){
		"no extension":      func(i *wire.Info) { i.Extended = false },
		"another instance":  func(i *wire.Info) { i.Instance++ },
		"another time":      func(i *wire.Info) { i.Time++ },
		"another id":        func(i *wire.Info) { i.ID++ },
		"instance zero":     func(i *wire.Info) { i.Instance = 0 },
		"predecessor's ids": func(i *wire.Info) { i.Instance, i.Time = i.Instance^1, i.Time-1 },
	} {
		info := *p.Info()
		forge(&info)
		require.NoError(t, table.Answer(answer(info, name), nil))
		assert.Equal(t, 1, table.Len(), name)
	}
	require.NoError(t, table.Answer(answer(*p.Info(), "true"), nil))
	a, err := p.Wait()
	require.NoError(t, err)
	assert.Equal(t, "true", string(a.Payload.Frames()[0]))
	assert.EqualValues(t, 6, table.Stats().Late)
}

func TestBounds(t *testing.T) {
	table, _ := newTable(t, loopback.TableConfig{MaxPending: 2, MaxPendingBytes: 100})
	first := open(t, table, loopback.Ask{Bytes: 60})

	_, err := table.Open(loopback.Ask{Bytes: 41})
	var full *loopback.FullError
	require.ErrorAs(t, err, &full)
	assert.ErrorIs(t, err, loopback.ErrFull)
	assert.Equal(t, loopback.FullError{What: "bytes", Limit: 100}, *full)

	second := open(t, table, loopback.Ask{Bytes: 40})
	_, err = table.Open(loopback.Ask{})
	require.ErrorAs(t, err, &full)
	assert.Equal(t, loopback.FullError{What: "requests", Limit: 2}, *full)

	first.Fail(errors.New("not submitted"))
	_, err = first.Wait()
	require.EqualError(t, err, "not submitted")
	first.Release()
	third := open(t, table, loopback.Ask{Bytes: 60})
	second.Abandon(loopback.ErrGone)
	third.Abandon(loopback.ErrGone)
	assert.Zero(t, table.Len())
	assert.Equal(t, loopback.Stats{Opened: 3, Failed: 1, Abandoned: 2, Refused: 2, Crowded: 1, Heavy: 1}, table.Stats())
}

func TestDeadlinesExpireInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, heard := newTable(t, loopback.TableConfig{})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- table.Run(ctx) }()

		began := time.Now()
		late := open(t, table, loopback.Ask{Deadline: began.Add(3 * time.Second)})
		never := open(t, table, loopback.Ask{})
		early := open(t, table, loopback.Ask{Deadline: began.Add(time.Second)})
		answered := open(t, table, loopback.Ask{Deadline: began.Add(2 * time.Second)})
		require.NoError(t, table.Answer(answer(*answered.Info(), "ok"), nil))
		keyEarly, keyLate, keyNever := early.Info().Key(), late.Info().Key(), never.Info().Key()

		_, err := early.Wait()
		assert.ErrorIs(t, err, loopback.ErrDeadline)
		assert.Equal(t, time.Second, time.Since(began))
		_, err = late.Wait()
		assert.ErrorIs(t, err, loopback.ErrDeadline)
		assert.Equal(t, 3*time.Second, time.Since(began))
		synctest.Wait()
		assert.Equal(t, []wire.Key{keyEarly, keyLate}, heard.all())

		stop()
		require.NoError(t, <-done)
		_, err = never.Wait()
		assert.ErrorIs(t, err, loopback.ErrClosed)
		assert.Equal(t, []wire.Key{keyEarly, keyLate, keyNever}, heard.all())
		_, err = table.Open(loopback.Ask{})
		assert.ErrorIs(t, err, loopback.ErrClosed)
	})
}

func TestDrainWaitsForTheLastRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, _ := newTable(t, loopback.TableConfig{})
		p := open(t, table, loopback.Ask{})

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, table.Drain(ctx), context.DeadlineExceeded)
		_, err := table.Open(loopback.Ask{})
		assert.ErrorIs(t, err, loopback.ErrDraining)

		drained := make(chan error)
		go func() { drained <- table.Drain(t.Context()) }()
		synctest.Wait()
		require.NoError(t, table.Answer(answer(*p.Info(), "last"), nil))
		require.NoError(t, <-drained)
	})
}

func TestFrontNameHasToFit(t *testing.T) {
	_, err := loopback.NewTable(loopback.TableConfig{FrontName: "a-name-of-more-than-28-bytes-"})
	require.ErrorContains(t, err, "at most 28")
	table, _ := newTable(t, loopback.TableConfig{FrontName: "east"})
	p := open(t, table, loopback.Ask{})
	assert.Equal(t, "east", string(p.Info().Field(wire.FrontName)))
}

func TestOpenAnswerAllocations(t *testing.T) {
	table, _ := newTable(t, loopback.TableConfig{})
	a := answer(wire.Info{}, "ok")
	now := time.Now()
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		p, _ := table.Open(loopback.Ask{Now: now, Deadline: now.Add(time.Hour)})
		a.Info = *p.Info()
		_ = table.Answer(a, nil)
		_, _ = p.Wait()
		p.Release()
	}))
}

func BenchmarkOpenAnswer(b *testing.B) {
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(b, err)
	payload := wire.Frames{[]byte("ok")}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := time.Now()
			p, err := table.Open(loopback.Ask{Now: now, Deadline: now.Add(time.Minute)})
			if err != nil {
				b.Fatal(err)
			}
			_ = table.Answer(loopback.Answer{Info: *p.Info(), Payload: payload}, nil)
			_, _ = p.Wait()
			p.Release()
		}
	})
}
