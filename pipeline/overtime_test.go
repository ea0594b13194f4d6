package pipeline_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// overtime is the timeout of the stages of these tests.
const overtime = time.Second

// timed runs a stage whose handler has overtime for a job.
func timed(t *testing.T, slots int, h pipeline.HandlerFunc) *rig {
	t.Helper()
	return runWith(t, slots, h, func(c *pipeline.PoolConfig) { c.Timeout = overtime })
}

// ask does a job and returns the answer's status, and how long it took.
func (r *rig) ask(t *testing.T, job string) (int, time.Duration) {
	t.Helper()
	began := time.Now()
	return r.do(t, job).Status, time.Since(began)
}

// hangOnJob ignores its context until release is closed.
func hangOnJob(release <-chan struct{}) {
	<-release
}

func TestAHandlerThatHangsLosesItsSlot(t *testing.T) {
	for name, end := range map[string]func() (pipeline.Result, error){
		"with a result": func() (pipeline.Result, error) { return pipeline.Text(200, "too late"), nil },
		"with an error": func() (pipeline.Result, error) { return pipeline.Result{}, errors.New("too late") },
		"forwarding":    func() (pipeline.Result, error) { return pipeline.Forward("work", []byte("next")), nil },
		"panicking":     func() (pipeline.Result, error) { panic("too late") },
		"by Goexit":     func() (pipeline.Result, error) { runtime.Goexit(); panic("unreachable") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				served := 0
				r := timed(t, 1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
					if string(job.Bytes()) == "hang" {
						hangOnJob(release)
						return end()
					}
					served++
					return pipeline.Text(200, "next"), nil
				})
				status, took := r.ask(t, "hang")
				assert.Equal(t, 504, status)
				assert.Equal(t, overtime, took)
				status, took = r.ask(t, "next")
				assert.Equal(t, 200, status)
				assert.Less(t, took, overtime/2, "another goroutine has the slot soon")

				synctest.Wait()
				stats := r.pool.Stats()
				assert.Equal(t, 1, stats.Hung)
				assert.EqualValues(t, 1, stats.Overran)
				assert.EqualValues(t, 1, stats.Failed)
				assert.Equal(t, 1, strings.Count(r.logged(), "handler hangs"))
				assert.Contains(t, r.logged(), "hangOnJob", "its stack")
				assert.Contains(t, r.logged(), "request_id=")

				close(release)
				synctest.Wait()
				assert.Zero(t, r.pool.Stats().Hung)
				assert.Zero(t, r.table.Stats().Late, "nothing comes of it")
				status, _ = r.ask(t, "next")
				assert.Equal(t, 200, status)
				assert.Equal(t, 2, served)
				assert.Equal(t, 1, strings.Count(r.logged(), "handler hangs"))
			})
		})
	}
}

func TestAHandlerThatMindsItsContextKeepsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := timed(t, 1, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
			at, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, overtime, time.Until(at))
			if string(job.Bytes()) == "fine" {
				time.Sleep(overtime - 1)
				return pipeline.Text(200, "in time"), nil
			}
			<-ctx.Done()
			assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
			return pipeline.Result{}, ctx.Err()
		})
		for range 20 { // whoever notices first
			status, took := r.ask(t, "long")
			assert.Equal(t, 504, status)
			assert.Equal(t, overtime, took)
			status, _ = r.ask(t, "fine")
			assert.Equal(t, 200, status)
		}
		synctest.Wait()
		assert.Zero(t, r.pool.Stats().Hung)
		assert.EqualValues(t, 20, r.pool.Stats().Overran)
		assert.EqualValues(t, 20, r.pool.Stats().Failed)
		assert.Empty(t, r.logged())
		assert.Zero(t, r.table.Stats().Late)
	})
}

func TestHandlersThatHangAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := runWith(t, 1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			if string(job.Bytes()) == "hang" {
				hangOnJob(release)
			}
			return pipeline.Text(200, ""), nil
		}, func(c *pipeline.PoolConfig) { c.Timeout, c.MaxHung = overtime, 2 })
		for range 3 {
			status, _ := r.ask(t, "hang")
			assert.Equal(t, 504, status)
		}
		time.Sleep(10 * time.Second)
		assert.Equal(t, 3, r.pool.Stats().Hung)
		assert.Equal(t, 3, strings.Count(r.logged(), "handler hangs"))
		assert.Equal(t, 1, strings.Count(r.logged(), "replaced=false"))

		ctx, cancel := context.WithTimeout(t.Context(), overtime)
		defer cancel()
		_, err := r.client.Do(ctx, []byte("waits"))
		require.ErrorIs(t, err, context.DeadlineExceeded, "no slot is left")
		release <- struct{}{} // one of them ends: whichever, there is a slot again
		time.Sleep(2 * time.Second)
		status, _ := r.ask(t, "fine")
		assert.Equal(t, 200, status)
		close(release)
	})
}

// Under load, too, every request has one answer: handlers that are in time, late,
// or hang, with slots that are replaced beside others.
func TestEveryRequestHasOneAnswerBesideHandlersThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := timed(t, 4, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
			switch string(job.Bytes()) {
			case "hang":
				hangOnJob(release)
			case "late":
				<-ctx.Done()
			default:
				time.Sleep(10 * time.Millisecond)
			}
			return pipeline.Text(200, string(job.Bytes())), nil
		})
		const clients, each = 20, 30
		statuses := make(chan [2]int, clients*each)
		for client := range clients {
			go func() {
				for n := range each {
					job, want := "fine", 200
					switch {
					case client == 0 && n%10 == 0: // three, with four slots to replace
						job, want = "hang", 504
					case (client+n)%17 == 0:
						job, want = "late", 504
					}
					status, _ := r.ask(t, job)
					statuses <- [2]int{want, status}
				}
			}()
		}
		for range clients * each {
			s := <-statuses
			assert.Equal(t, s[0], s[1])
		}
		synctest.Wait()
		assert.Equal(t, 3, r.pool.Stats().Hung)
		close(release)
		synctest.Wait()
		assert.Zero(t, r.pool.Stats().Hung)
		stats := r.table.Stats()
		assert.EqualValues(t, clients*each, stats.Answered)
		assert.Zero(t, stats.Late)
	})
}

func TestRunDoesNotWaitForHandlersThatLostTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		r := timed(t, 1, func(context.Context, *pipeline.Job) (pipeline.Result, error) {
			hangOnJob(release)
			return pipeline.Result{}, nil
		})
		status, _ := r.ask(t, "hang")
		assert.Equal(t, 504, status)
		require.NoError(t, r.stage.Shutdown(t.Context()))
		// The rig's cleanup joins Run while the handler still hangs.
	})
}

func TestAnInterruptedJobThatHangsLosesItsSlotToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		r := timed(t, 1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			if string(job.Bytes()) == "hang" {
				hangOnJob(release)
			}
			return pipeline.Text(200, ""), nil
		})
		ctx, leave := context.WithTimeout(t.Context(), overtime/2)
		defer leave()
		_, err := r.client.Do(ctx, []byte("hang"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		status, took := r.ask(t, "next")
		assert.Equal(t, 200, status)
		assert.Less(t, took, overtime)
		assert.Zero(t, r.table.Stats().Late, "nobody waits: nobody is told")
	})
}

// A stream may outlast the timeout, which is for its first part; from when it is
// interrupted the timeout holds again, for a handler that does not mind.
func TestAStreamThatHangsLosesItsSlotOnceItIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		r := timed(t, 1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			if string(job.Bytes()) == "next" {
				return pipeline.Text(200, ""), nil
			}
			return pipeline.Stream(&pipeline.Response{}, func(_ context.Context, w *pipeline.StreamWriter) error {
				if err := w.Flush(); err != nil {
					return err
				}
				if string(job.Bytes()) == "hang" {
					hangOnJob(release)
					return nil
				}
				time.Sleep(5 * overtime)
				_, err := w.WriteString("all")
				return err
			}), nil
		})
		assert.Equal(t, "all", string(r.do(t, "long").Body))
		ctx, leave := context.WithTimeout(t.Context(), 3*overtime)
		defer leave()
		began := time.Now()
		_, err := r.client.Do(ctx, []byte("hang"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 200, r.do(t, "next").Status)
		assert.Less(t, time.Since(began), 5*overtime)
		synctest.Wait()
		assert.Contains(t, r.logged(), "handler hangs")
	})
}

// A butterfly proxy is told by the slot's next beat, and deals with the job.
func TestAProxyIsToldOfAJobThatTookTooLong(t *testing.T) {
	for name, obeys := range map[string]bool{"hanging": false, "obeying": true} {
		t.Run(name, func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				proxy := s.listen(42)
				release := make(chan struct{})
				defer close(release)
				s.timeout = overtime
				s.work(1, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
					switch {
					case string(job.Bytes()) == "fine":
						return echo(ctx, job)
					case obeys:
						<-ctx.Done()
						return pipeline.Text(200, "too late"), nil
					}
					hangOnJob(release)
					return pipeline.Text(200, "too late"), nil
				})
				first := <-proxy.beat
				p, m := s.job(0, "long")
				began := time.Now()
				require.NoError(t, first.from.Send(m, nil))
				b := (<-proxy.beat).slot(t)
				assert.True(t, b.GivenUp)
				assert.Equal(t, p.Info().Key(), b.Done)
				assert.Less(t, time.Since(began), overtime+overtime/2)
				assert.Zero(t, s.table.Stats().Answered, "the proxy's to tell")

				fine, m := s.job(0, "fine")
				require.NoError(t, first.from.Send(m, nil))
				assert.Equal(t, "fine", string(s.answered(fine).Body))
				b = (<-proxy.beat).slot(t)
				assert.Equal(t, wire.Beat{Worker: b.Worker, Done: fine.Info().Key()}, b)
				p.Fail(nil)
			})
		})
	}
}

// Where no proxy could do so, the worker tells the client itself.
func TestAClientIsToldOfAJobThatTookTooLong(t *testing.T) {
	for name, instance := range map[string]uint64{"prime_server": 0, "proxy gone": 42} {
		t.Run(name, func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				proxy := s.listen(instance)
				release := make(chan struct{})
				defer close(release)
				s.timeout = overtime
				s.work(1, func(context.Context, *pipeline.Job) (pipeline.Result, error) {
					hangOnJob(release)
					return pipeline.Result{}, nil
				})
				first := <-proxy.beat
				p, m := s.job(0, "long")
				began := time.Now()
				require.NoError(t, first.from.Send(m, nil))
				if instance != 0 {
					synctest.Wait()
					proxy.stop()
				}
				assert.Equal(t, 504, s.answered(p).Status)
				assert.InDelta(t, overtime, time.Since(began), float64(overtime)/10)
				if instance == 0 {
					assert.Len(t, (<-proxy.beat).frames, 1)
				}
			})
		})
	}
}
