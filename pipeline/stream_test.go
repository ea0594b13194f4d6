package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

func streaming(send func(context.Context, *pipeline.StreamWriter) error) pipeline.HandlerFunc {
	return func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Stream(&pipeline.Response{}, send), nil
	}
}

// runOne does one job with a pool of one slot whose answers go to back.
func runOne(t *testing.T, h pipeline.Handler, info wire.Info, back loopback.Answerer) (pool *pipeline.Pool, wait func()) {
	t.Helper()
	job := &loopback.Job{Info: info, Payload: wire.Frames{[]byte("GET / HTTP/1.0\r\n\r\n")}}
	pool, err := pipeline.NewPool(pipeline.PoolConfig{
		Stage: "streams", Handler: h, Slots: 1, Loopback: back,
		Slot: func(int) loopback.Slot { return &oneJob{job} },
	})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pool.Run(context.Background())
	}()
	return pool, func() { <-done }
}

func jobOf(instance uint64) wire.Info {
	return wire.Info{ID: 1, Time: 2, Version: 1, Extended: true, Ext: wire.Ext{Instance: instance}}
}

// A stream sends what it may unasked and no more, in parts of a bounded size;
// what it is granted later counts from its beginning.
func TestAStreamKeepsToItsCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := &collect{}
		text := bytes.Repeat([]byte("0123456789"), 40_000)
		pool, wait := runOne(t, streaming(func(_ context.Context, w *pipeline.StreamWriter) error {
			n, err := w.Write(text)
			assert.Equal(t, len(text), n)
			return err
		}), jobOf(7), back)
		for granted := uint64(wire.InitialCredit); granted < 600_000; granted += 50_000 {
			synctest.Wait()
			var cost uint64
			for i, a := range back.answers() {
				assert.EqualValues(t, i, a.Info.Part)
				assert.True(t, a.Info.Flags.Has(wire.Stream))
				if i > 0 {
					require.LessOrEqual(t, a.Payload.(wire.Frames).Size(), wire.MaxPart)
					cost += wire.PartCost(a.Payload.(wire.Frames).Size())
				}
			}
			require.LessOrEqual(t, cost, granted)
			pool.Credit(wire.Key{Instance: 7, ID: 1, Time: 2}, granted-1000) // a grant that comes late takes nothing away
			pool.Credit(wire.Key{Instance: 7, ID: 1, Time: 2}, granted+50_000)
			pool.Credit(wire.Key{Instance: 8, ID: 1, Time: 2}, 1<<40) // not ours
		}
		wait()
		all := back.answers()
		var got []byte
		for i, a := range all {
			frame := a.Payload.Frames()[0]
			if i == 0 {
				_, frame, _ = bytes.Cut(frame, []byte("\r\n\r\n"))
			}
			got = append(got, frame...)
			assert.Equal(t, i == len(all)-1, a.Info.Flags.Has(wire.StreamEnd))
		}
		assert.True(t, bytes.Equal(text, got))
		assert.EqualValues(t, 200, all[0].Info.Code)
		assert.Zero(t, all[len(all)-1].Info.Code)
	})
}

// A stream without credit asks for it once a second, and stops when it hears
// that nobody takes it.
func TestAStreamWithoutCreditAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := &collect{}
		pool, wait := runOne(t, streaming(func(_ context.Context, w *pipeline.StreamWriter) error {
			_, err := w.Write(make([]byte, 200_000))
			assert.ErrorIs(t, err, context.Canceled)
			return err
		}), jobOf(7), back)
		synctest.Wait()
		before := len(back.answers())
		time.Sleep(3*time.Second + time.Millisecond)
		asked := back.answers()[before:]
		require.Len(t, asked, 3)
		for _, a := range asked {
			assert.Zero(t, a.Payload.(wire.Frames).Size())
		}
		pool.Refuse(wire.Key{Instance: 8, ID: 1, Time: 2}) // not ours
		synctest.Wait()
		pool.Refuse(wire.Key{Instance: 7, ID: 1, Time: 2})
		wait()
		assert.Len(t, back.answers(), before+3, "nobody is told how it ended")
	})
}

// watched is a loopback that can lose the way to its front.
type watched struct {
	collect
	mu   sync.Mutex
	lost map[int]func()
}

func (w *watched) Watch(_ *wire.Info, lost func()) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == nil {
		w.lost = make(map[int]func())
	}
	n := len(w.lost)
	w.lost[n] = lost
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.lost, n)
	}
}

func TestAStreamEndsWithTheWayToItsFront(t *testing.T) {
	back := &watched{}
	began := make(chan struct{})
	_, wait := runOne(t, streaming(func(ctx context.Context, w *pipeline.StreamWriter) error {
		assert.NoError(t, w.Flush())
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}), jobOf(7), back)
	<-began
	back.lost[0]()
	wait()
	assert.Empty(t, back.lost)
	assert.Len(t, back.answers(), 1)

	lost := &collect{fates: []error{errors.New("lost with its connection")}}
	_, wait = runOne(t, streaming(func(ctx context.Context, w *pipeline.StreamWriter) error {
		assert.NoError(t, w.Flush())
		return ctx.Err()
	}), jobOf(7), lost)
	wait()
	assert.Len(t, lost.answers(), 1, "parts are not sent again")

	waits := &collect{fates: []error{transport.ErrWaiting}}
	_, wait = runOne(t, streaming(func(_ context.Context, w *pipeline.StreamWriter) error { return w.Flush() }), jobOf(7), waits)
	wait()
	assert.Len(t, waits.answers(), 2)
}

// prime_server's front takes one frame: the stream is gathered, and bounded.
func TestAStreamIsGatheredForAPrimeServerFront(t *testing.T) {
	back := &collect{}
	_, wait := runOne(t, streaming(func(_ context.Context, w *pipeline.StreamWriter) error {
		assert.NoError(t, w.Flush())
		for range 3 {
			if _, err := w.WriteString("word "); err != nil {
				return err
			}
		}
		return nil
	}), wire.Info{ID: 1, Time: 2, Version: 0, KeepAlive: true}, back)
	wait()
	require.Len(t, back.answers(), 1)
	text := string(back.answers()[0].Payload.Frames()[0])
	assert.True(t, strings.HasPrefix(text, "HTTP/1.0 200 OK\r\n"), text)
	assert.True(t, strings.HasSuffix(text, "Content-Length: 15\r\n\r\nword word word "), text)

	back = &collect{}
	_, wait = runOne(t, streaming(func(_ context.Context, w *pipeline.StreamWriter) error {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				assert.ErrorIs(t, err, pipeline.ErrGatheredTooLarge)
				return err
			}
		}
	}), wire.Info{ID: 1, Time: 2}, back)
	wait()
	require.Len(t, back.answers(), 1)
	assert.EqualValues(t, 500, back.answers()[0].Info.Code)
}

func TestStreamsInTests(t *testing.T) {
	var kept *pipeline.StreamWriter
	o := pipelinetest.Get(t.Context(), streaming(func(_ context.Context, w *pipeline.StreamWriter) error {
		kept = w
		_, _ = w.WriteString("a")
		_, _ = w.Write(nil)
		_, err := w.WriteString("bc")
		return err
	}), "/")
	assert.Equal(t, "abc", string(o.Response.Body))
	assert.Equal(t, [][]byte{[]byte("a"), []byte("bc")}, o.Stream.Parts)
	assert.Zero(t, o.Stream.Failed)
	_, err := kept.WriteString("too late")
	assert.ErrorIs(t, err, pipeline.ErrStreamOver)
	assert.ErrorIs(t, kept.Flush(), pipeline.ErrStreamOver)

	for status, fails := range map[int]func() error{
		422: func() error { return pipeline.Errorf(422, "cannot go on") },
		500: func() error { panic("no words") },
	} {
		o = pipelinetest.Get(t.Context(), streaming(func(_ context.Context, w *pipeline.StreamWriter) error {
			_, _ = w.WriteString("a")
			return fails()
		}), "/")
		assert.Equal(t, status, o.Stream.Failed)
		o = pipelinetest.Get(t.Context(), streaming(func(context.Context, *pipeline.StreamWriter) error { return fails() }), "/")
		assert.Nil(t, o.Stream)
		assert.Equal(t, status, o.Response.Status)
	}
	o = pipelinetest.Get(t.Context(), pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		bad := &pipeline.Response{Header: pipeline.Header{{Name: "a b", Value: ""}}}
		return pipeline.Stream(bad, func(context.Context, *pipeline.StreamWriter) error { return nil }), nil
	}), "/")
	assert.Equal(t, 500, o.Response.Status)
}

// The deadline of a job holds until its first part has left.
func TestAStreamLiftsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		info := jobOf(7)
		info.SetDeadline(time.Now().Add(time.Second))
		back := &collect{}
		_, wait := runOne(t, streaming(func(ctx context.Context, w *pipeline.StreamWriter) error {
			_, bound := ctx.Deadline()
			assert.True(t, bound)
			done := ctx.Done() // which sets a timer
			assert.NoError(t, w.Flush())
			_, bound = ctx.Deadline()
			assert.False(t, bound)
			time.Sleep(time.Minute)
			assert.NoError(t, ctx.Err())
			select {
			case <-done:
				t.Error("it has ended")
			default:
			}
			return nil
		}), info, back)
		wait()
		assert.Len(t, back.answers(), 2)

		info.SetDeadline(time.Now().Add(time.Second))
		back = &collect{}
		_, wait = runOne(t, streaming(func(ctx context.Context, w *pipeline.StreamWriter) error {
			time.Sleep(2 * time.Second)
			_, err := w.WriteString("too late")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			return err
		}), info, back)
		wait()
		require.Len(t, back.answers(), 1)
		assert.EqualValues(t, 504, back.answers()[0].Info.Code)
	})
}

func TestEvents(t *testing.T) {
	o := pipelinetest.Get(t.Context(), pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
		return pipeline.Events(func(_ context.Context, w *pipeline.EventWriter) error {
			for _, e := range []pipeline.Event{
				{Data: "one"},
				{ID: "7", Name: "tick", Data: "a\r\nb\rc\n", Retry: 1500 * time.Millisecond},
				{ID: "8"},
			} {
				assert.NoError(t, w.Send(e))
			}
			var bad *pipeline.EventError
			assert.ErrorAs(t, w.Send(pipeline.Event{ID: "a\nb"}), &bad)
			assert.ErrorAs(t, w.Send(pipeline.Event{Name: "a\rb"}), &bad)
			return w.Comment("still\nhere")
		}), nil
	}), "/")
	assert.Equal(t, "text/event-stream", o.Response.Header.Get("Content-Type"))
	assert.Equal(t, "data: one\n\n"+
		"event: tick\nid: 7\nretry: 1500\ndata: a\ndata: b\ndata: c\ndata: \n\n"+
		"id: 8\n\n"+
		":still\n:here\n\n", string(o.Response.Body))
	assert.Len(t, o.Stream.Parts, 4)
}

// Between events there are signs of life, and none while there are events.
func TestEventsBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := pipelinetest.Get(context.Background(), pipeline.HandlerFunc(func(context.Context, *pipeline.Job) (pipeline.Result, error) {
			return pipeline.Events(func(_ context.Context, w *pipeline.EventWriter) error {
				time.Sleep(2*pipeline.Heartbeat + time.Millisecond)
				for range 10 {
					time.Sleep(time.Second)
					assert.NoError(t, w.Send(pipeline.Event{Data: "x"}))
				}
				return nil
			}), nil
		}), "/")
		beats := bytes.Count(o.Response.Body, []byte(":\n\n"))
		assert.GreaterOrEqual(t, beats, 2)
		assert.LessOrEqual(t, beats, 4)
	})
}
