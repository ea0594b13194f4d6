package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// queue is a stage that keeps its jobs. Its first jobs have the fates given, as
// errors of Submit where they are errBusy, of Sent otherwise; nil Notifiers it
// does not tell.
type queue struct {
	jobs  []*loopback.Job
	sent  []transport.Notifier // of the jobs
	fates []error
}

var errBusy = errors.New("busy")

func (q *queue) Submit(job *loopback.Job, sent transport.Notifier) error {
	var fate error
	if len(q.fates) > 0 {
		fate, q.fates = q.fates[0], q.fates[1:]
	}
	if errors.Is(fate, errBusy) {
		return fate
	}
	q.jobs, q.sent = append(q.jobs, job), append(q.sent, sent)
	if sent != nil {
		sent.Sent(fate)
	}
	return nil
}

// holder is a slot that is given one job and counts what it is told of its
// outcome.
type holder struct {
	oneJob
	held int
	told []error
}

func (h *holder) Hold([]byte)    { h.held++ }
func (h *holder) Sent(err error) { h.told = append(h.told, err) }

// scattered is what became of one job: at the stages work and sum, and on the
// loopback.
type scattered struct {
	work, sum queue
	join      loopback.Stage // as the pool sees sum; nil: sum itself
	back      collect
	slot      holder
	log       bytes.Buffer
}

// run gives a handler one job at the stage split.
func (s *scattered) run(t *testing.T, info wire.Info, h pipeline.HandlerFunc) {
	t.Helper()
	s.slot.job = &loopback.Job{Info: info, Payload: wire.Frames{[]byte("x")}}
	if s.join == nil {
		s.join = &s.sum
	}
	pool, err := pipeline.NewPool(pipeline.PoolConfig{
		Stage: "split", Handler: h, Slots: 1, Loopback: &s.back,
		Slot:   func(int) loopback.Slot { return &s.slot },
		Next:   map[string]loopback.Stage{"work": &s.work, "sum": s.join},
		Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	require.NoError(t, err)
	require.NoError(t, pool.Run(t.Context()))
}

// answered returns the status and body of the only answer.
func (s *scattered) answered(t *testing.T) (int, string) {
	t.Helper()
	require.Len(t, s.back.got, 1)
	r, err := pipeline.NewAnswer(s.back.got[0]).Response()
	require.NoError(t, err)
	return r.Status, string(r.Body)
}

func aJob() wire.Info {
	return wire.Info{ID: 7, Time: 9, Version: 1, Extended: true, Ext: wire.Ext{Instance: 5, Hops: 3}}
}

func scatter(f pipeline.Fan, parts ...string) pipeline.HandlerFunc {
	return func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		var all [][]byte
		for _, p := range parts {
			all = append(all, []byte(p))
		}
		return pipeline.Scatter(f, all...), nil
	}
}

func TestScatterSubmitsParts(t *testing.T) {
	var s scattered
	s.run(t, aJob(), scatter(pipeline.Fan{Stage: "work", Join: "sum", Width: 2, Policy: pipeline.Any}, "a", "b", "c"))
	require.Len(t, s.work.jobs, 3)
	for i, job := range s.work.jobs {
		assert.Equal(t, wire.Frames{[]byte("abc"[i : i+1])}, job.Payload)
		assert.Equal(t, &wire.Piece{
			Index: uint32(i), Total: 3, Group: 3, Join: wire.StageHash("sum"), Width: 2, Policy: wire.Any,
		}, job.Info.Piece())
		assert.True(t, job.Info.Flags.Has(wire.Scattered))
		assert.Equal(t, wire.Key{Instance: 5, ID: 7, Time: 9}, job.Info.Key())
		assert.EqualValues(t, 3, job.Info.Hops)
		assert.Equal(t, 1, job.Size)
	}
	assert.Empty(t, s.sum.jobs, "the join waits for the deadline: it need not know")
	assert.Empty(t, s.back.got)
	assert.Equal(t, 1, s.slot.held)
	assert.Equal(t, []error{nil}, s.slot.told, "once all have left")
}

func TestScatterTellsTheJoinFromWhenOnToWait(t *testing.T) {
	var s scattered
	s.run(t, aJob(), scatter(pipeline.Fan{Stage: "work", Join: "sum", Timeout: 1500 * time.Microsecond}, "a"))
	require.Len(t, s.sum.jobs, 1)
	assert.Equal(t, &wire.Piece{Total: 1, Group: 3, Join: wire.StageHash("sum"), Timeout: 2, Opening: true}, s.sum.jobs[0].Info.Piece())
	assert.Len(t, s.sum.jobs[0].Payload.Frames(), 1, "a job has a frame")
	require.Len(t, s.work.jobs, 1)
	assert.EqualValues(t, 2, s.work.jobs[0].Info.Piece().Timeout)
	assert.Equal(t, []error{nil}, s.slot.told)
}

// meeting is a stage with several proxies, one of which is chosen.
type meeting struct{ *queue }

func (meeting) Meet() uint16 { return 8 }

// One of several proxies has to know of a group whose parts are all with other
// stages: it might drain, and close before any comes.
func TestScatterTellsTheProxyThatItChose(t *testing.T) {
	var s scattered
	s.join = meeting{&s.sum}
	s.run(t, aJob(), scatter(pipeline.Fan{Stage: "work", Join: "sum"}, "a"))
	require.Len(t, s.sum.jobs, 1)
	assert.Equal(t, &wire.Piece{Total: 1, Group: 3, Join: wire.StageHash("sum"), Meet: 8, Opening: true}, s.sum.jobs[0].Info.Piece())
	require.Len(t, s.work.jobs, 1)
	assert.EqualValues(t, 8, s.work.jobs[0].Info.Piece().Meet)
	assert.Equal(t, []error{nil}, s.slot.told)
}

// A prime_server front's job behind prime_server's proxy has no extension.
func TestScatterExtendsEnvelopes(t *testing.T) {
	var s scattered
	s.run(t, wire.Info{ID: 7, Time: 9}, scatter(pipeline.Fan{Stage: "work", Join: "sum"}, "a"))
	require.Len(t, s.work.jobs, 1)
	assert.EqualValues(t, 1, s.work.jobs[0].Info.Hops, "no proxy takes it for a front's")
	foreign, err := wire.ParseInfo([]byte("12 bytes and foreign ones"))
	require.NoError(t, err)
	enclosed := foreign
	require.True(t, enclosed.Enclose())
	for _, info := range []wire.Info{foreign, enclosed} {
		s = scattered{}
		s.run(t, info, scatter(pipeline.Fan{Stage: "work", Join: "sum"}, "a"))
		status, _ := s.answered(t)
		assert.Equal(t, 500, status)
		assert.Contains(t, s.log.String(), "its envelope has no room for that")
		assert.Empty(t, s.work.jobs)
	}
}

func TestScatterThatCannotBe(t *testing.T) {
	good := pipeline.Fan{Stage: "work", Join: "sum"}
	part := aJob()
	part.SetPiece(&wire.Piece{Total: 2})
	with := func(change func(*pipeline.Fan)) pipeline.Fan {
		f := good
		change(&f)
		return f
	}
	many := make([]string, pipeline.MaxParts+1)
	for want, c := range map[string]struct {
		info  wire.Info
		fan   pipeline.Fan
		parts []string
	}{
		"there are no parts":                      {aJob(), good, nil},
		"65537 parts are too many":                {aJob(), good, many},
		"a width of -1 is negative":               {aJob(), with(func(f *pipeline.Fan) { f.Width = -1 }), []string{"a"}},
		"a timeout of -1s is negative":            {aJob(), with(func(f *pipeline.Fan) { f.Timeout = -time.Second }), []string{"a"}},
		"there is no policy 3":                    {aJob(), with(func(f *pipeline.Fan) { f.Policy = 3 }), []string{"a"}},
		"worked on and joined at the s":           {aJob(), with(func(f *pipeline.Fan) { f.Join = "work" }), []string{"a"}},
		"no stage is named where its p":           {aJob(), with(func(f *pipeline.Fan) { f.Join = "" }), []string{"a"}},
		`\"split\" has no next stage \"nowhere\"`: {aJob(), with(func(f *pipeline.Fan) { f.Stage = "nowhere" }), []string{"a"}},
		`\"split\" has no next stage \"never\"`:   {aJob(), with(func(f *pipeline.Fan) { f.Join = "never" }), []string{"a"}},
		"it is a part of a job that was":          {part, good, []string{"a"}},
	} {
		var s scattered
		s.run(t, c.info, scatter(c.fan, c.parts...))
		status, body := s.answered(t)
		assert.Equal(t, 500, status, want)
		assert.Contains(t, body, "internal error (request ")
		assert.Contains(t, s.log.String(), want)
		assert.Empty(t, s.work.jobs)
		assert.False(t, s.back.got[0].Info.Flags.Has(wire.Scattered), "nobody needs to be stopped")
	}
	var s scattered
	s.run(t, aJob(), func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.ScatterFrames(good, [][]byte{nil}, nil), nil
	})
	assert.Contains(t, s.log.String(), "part 1 has no frames")
}

// A stage takes no more parts: the client is told, and those that are out are
// stopped.
func TestScatterThatIsCutShort(t *testing.T) {
	s := scattered{work: queue{fates: []error{nil, errBusy}}}
	s.run(t, aJob(), scatter(pipeline.Fan{Stage: "work", Join: "sum"}, "a", "b", "c"))
	assert.Len(t, s.work.jobs, 1)
	status, _ := s.answered(t)
	assert.Equal(t, 503, status)
	assert.True(t, s.back.got[0].Info.Flags.Has(wire.Scattered))
	assert.Equal(t, []error{nil}, s.slot.told, "of the answer, not of the part")
}

// A part got lost on its way: its client is told, or the join where others may
// make up for it.
func TestScatteredPartsThatGetLost(t *testing.T) {
	cut := errors.New("cut")
	s := scattered{work: queue{fates: []error{nil, cut, cut}}}
	s.run(t, aJob(), scatter(pipeline.Fan{Stage: "work", Join: "sum"}, "a", "b", "c"))
	status, body := s.answered(t)
	assert.Equal(t, 502, status)
	assert.Contains(t, body, "the job was lost between two stages")
	assert.True(t, s.back.got[0].Info.Flags.Has(wire.Scattered))
	assert.Equal(t, []error{nil}, s.slot.told)

	s = scattered{work: queue{fates: []error{nil, cut, transport.ErrWaiting}}}
	s.run(t, aJob(), scatter(pipeline.Fan{Stage: "work", Join: "sum", Policy: pipeline.BestEffort}, "a", "b", "c"))
	assert.Empty(t, s.back.got)
	require.Len(t, s.sum.jobs, 1)
	assert.EqualValues(t, 1, s.sum.jobs[0].Info.Piece().Index)
	assert.True(t, s.sum.jobs[0].Info.Piece().Failed)
	assert.EqualValues(t, 502, s.sum.jobs[0].Info.Code)
	assert.Equal(t, []error{transport.ErrWaiting}, s.slot.told, "the slot is not held for what waits")
	s.work.sent[2].Sent(cut)
	require.Len(t, s.sum.jobs, 2, "what waited and got lost is told, too")
	assert.EqualValues(t, 2, s.sum.jobs[1].Info.Piece().Index)
	assert.Empty(t, s.back.got)

	s = scattered{work: queue{fates: []error{transport.ErrWaiting, nil}}}
	s.run(t, aJob(), scatter(pipeline.Fan{Stage: "work", Join: "sum"}, "a", "b"))
	assert.Empty(t, s.back.got)
	s.work.sent[0].Sent(cut)
	s.work.sent[1].Sent(cut)
	status, _ = s.answered(t)
	assert.Equal(t, 502, status)

	s = scattered{work: queue{fates: []error{transport.ErrClosed}}}
	s.run(t, aJob(), scatter(pipeline.Fan{Stage: "work", Join: "sum", Policy: pipeline.Any}, "a"))
	assert.Empty(t, s.back.got, "the worker ends")
	assert.Empty(t, s.sum.jobs)
}

// The error of a part goes to the client, or, where others may make up for it,
// to the join; if that cannot be, to the client all the same.
func TestErrorsOfParts(t *testing.T) {
	piece := wire.Piece{Index: 1, Total: 3, Group: 2, Join: wire.StageHash("sum"), Policy: wire.Any, Timeout: 9}
	part := func(change func(*wire.Piece)) wire.Info {
		info := aJob()
		p := piece
		if change != nil {
			change(&p)
		}
		info.SetPiece(&p)
		info.Flags |= wire.Scattered
		return info
	}
	fails := func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Result{}, pipeline.Errorf(409, "taken")
	}
	var s scattered
	s.run(t, part(nil), fails)
	assert.Empty(t, s.back.got)
	require.Len(t, s.sum.jobs, 1)
	job := s.sum.jobs[0]
	want := piece
	want.Failed = true
	assert.Equal(t, &want, job.Info.Piece())
	assert.EqualValues(t, 409, job.Info.Code)
	assert.Equal(t, wire.Frames{[]byte("taken")}, job.Payload)
	assert.Equal(t, 1, s.slot.held)
	assert.Equal(t, []error{nil}, s.slot.told)

	s = scattered{}
	s.run(t, part(nil), func(context.Context, *pipeline.Job) (pipeline.Result, error) { panic("no") })
	require.Len(t, s.sum.jobs, 1)
	assert.EqualValues(t, 500, s.sum.jobs[0].Info.Code)
	assert.Contains(t, s.log.String(), "handler panicked")

	s = scattered{}
	s.run(t, part(nil), scatter(pipeline.Fan{Stage: "work", Join: "sum"}, "a"))
	require.Len(t, s.sum.jobs, 1, "a part cannot be scattered")
	assert.Empty(t, s.work.jobs)

	for name, change := range map[string]func(*wire.Piece){
		"all":             func(p *wire.Piece) { p.Policy = wire.All },
		"no way to there": func(p *wire.Piece) { p.Join++ },
	} {
		s = scattered{}
		s.run(t, part(change), fails)
		assert.Empty(t, s.sum.jobs, name)
		status, body := s.answered(t)
		assert.Equal(t, "taken", body, name)
		assert.Equal(t, 409, status, name)
		assert.True(t, s.back.got[0].Info.Flags.Has(wire.Scattered), "the answer stops the others")
	}

	s = scattered{sum: queue{fates: []error{errBusy}}}
	s.run(t, part(nil), fails)
	status, _ := s.answered(t)
	assert.Equal(t, 409, status)

	// Of what got lost on its way to the join, that is told so; and if that gets
	// lost, too, the client.
	cut := errors.New("cut")
	s = scattered{sum: queue{fates: []error{cut}}}
	forwards := func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Forward("sum", job.Bytes()), nil
	}
	s.run(t, part(nil), forwards)
	assert.Empty(t, s.back.got)
	require.Len(t, s.sum.jobs, 2)
	assert.False(t, s.sum.jobs[0].Info.Piece().Failed)
	assert.True(t, s.sum.jobs[1].Info.Piece().Failed)
	assert.EqualValues(t, 502, s.sum.jobs[1].Info.Code)
	s = scattered{sum: queue{fates: []error{cut, cut}}}
	s.run(t, part(nil), forwards)
	require.Len(t, s.sum.jobs, 2)
	status, _ = s.answered(t)
	assert.Equal(t, 502, status)
	s = scattered{sum: queue{fates: []error{cut, errBusy}}}
	s.run(t, part(nil), forwards)
	status, _ = s.answered(t)
	assert.Equal(t, 502, status)
}

// A job that came over a socket says that it is a part by bytes that nobody has
// looked at; they go with it.
func TestPartsAreHandedOn(t *testing.T) {
	info := aJob()
	info.SetPiece(&wire.Piece{Index: 1, Total: 3, Group: 2, Join: wire.StageHash("sum")})
	read, err := wire.ParseInfo(info.AppendTo(nil))
	require.NoError(t, err)
	var s scattered
	s.run(t, read, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		_, err := job.Parts()
		assert.EqualError(t, err, `pipeline: stage "split" got part 1 of 3 alone, by a proxy that does not join it: `+
			"the proxy has to bear the name that the job was scattered with")
		return pipeline.Forward("work", []byte("y")), nil
	})
	require.Len(t, s.work.jobs, 1)
	assert.Equal(t, info.AppendTo(nil), s.work.jobs[0].Info.AppendTo(nil))
}
