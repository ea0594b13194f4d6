package httpfront

import (
	"runtime"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

// hold keeps jobs for the test to answer.
func hold(jobs chan *loopback.Job) func(*rig, *loopback.Job) error {
	return func(_ *rig, j *loopback.Job) error { jobs <- j; return nil }
}

// A client that leaves while its request waits ends the request, unread
// pipelined bytes or not.
func TestClientLeaves(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("pipelined bytes hide a disconnect where there is no epoll")
	}
	for name, leave := range map[string]func(*client){
		"FIN": func(c *client) { require.NoError(c.t, c.CloseWrite()) },
		"RST": func(c *client) {
			require.NoError(c.t, c.SetLinger(0))
			require.NoError(c.t, c.Close())
		},
		"close": func(c *client) { require.NoError(c.t, c.Close()) },
	} {
		for behind, more := range map[string]string{"": "", " behind pipelined bytes": get("/2")} {
			t.Run(name+behind, func(t *testing.T) {
				jobs := make(chan *loopback.Job, 2)
				r := start(t, Config{HalfCloseGrace: time.Millisecond}, hold(jobs))
				c := r.dial()
				c.send(get("/1"))
				j := wait(t, jobs)
				if more != "" {
					c.send(more)
				}
				leave(c)
				require.Equal(t, j.Info.Key(), wait(t, r.interrupted))
				r.reply(j, httptext.NewText(200, "late"))
				require.EqualValues(t, 1, r.table.Stats().Late)
			})
		}
	}
}

// A reset is not given any grace; a client that has left before its request is
// read does not start a job that nobody stops.
func TestResetHasNoGrace(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a reset behind pipelined bytes is seen by epoll only")
	}
	jobs := make(chan *loopback.Job, 1)
	r := start(t, Config{HalfCloseGrace: time.Hour}, hold(jobs))
	c := r.dial()
	c.send(get("/1"))
	j := wait(t, jobs)
	require.NoError(t, c.SetLinger(0))
	require.NoError(t, c.Close())
	require.Equal(t, j.Info.Key(), wait(t, r.interrupted))
}

func TestHalfClosedGetsItsAnswer(t *testing.T) {
	for name, grace := range map[string]time.Duration{"within the grace": time.Hour, "never gone": -1} {
		t.Run(name, func(t *testing.T) {
			jobs := make(chan *loopback.Job, 1)
			r := start(t, Config{HalfCloseGrace: grace}, hold(jobs))
			c := r.dial()
			c.send(get("/1") + get("/2"))
			require.NoError(t, c.CloseWrite())
			for range 2 {
				r.reply(wait(t, jobs), httptext.NewText(200, "here"))
				require.Equal(t, "here", c.read("GET").body)
			}
			c.closed()
			require.Empty(t, r.interrupted)
		})
	}
}

// Nothing is interrupted for a request that was answered before its client left.
func TestLeavingAfterTheAnswer(t *testing.T) {
	r := start(t, Config{HalfCloseGrace: time.Nanosecond}, echo)
	for range 20 {
		c := r.dial()
		c.send(get("/"))
		c.read("GET")
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
	}
	require.NoError(t, r.Shutdown(t.Context()))
	require.Empty(t, r.interrupted)
	require.EqualValues(t, 20, r.table.Stats().Answered)
}

// The grace of one request does not end the next on the same connection.
func TestGraceIsForOneRequest(t *testing.T) {
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	c := &conn{front: &Front{cfg: Config{HalfCloseGrace: time.Hour}}}
	c.notice(halfClosed)
	first, err := table.Open(loopback.Ask{})
	require.NoError(t, err)
	c.await(first)
	late := c.waits
	c.settled()
	require.Nil(t, c.grace)

	second, err := table.Open(loopback.Ask{})
	require.NoError(t, err)
	c.await(second)
	c.graceOver(late)
	require.Zero(t, table.Stats().Abandoned)
	c.graceOver(c.waits)
	_, err = second.Wait()
	require.ErrorIs(t, err, loopback.ErrGone)
	c.settled()
	c.graceOver(c.waits)
}

func TestWatcherNeverMistakesAConnection(t *testing.T) {
	r := newRegistry(2, 2)
	first, second, third := &conn{}, &conn{}, &conn{}
	require.NoError(t, r.add(first))
	require.NoError(t, r.add(second))
	require.ErrorIs(t, r.add(third), errConns)
	r.remove(first)
	require.NoError(t, r.add(third))
	require.Nil(t, r.find(first.number))
	require.Same(t, third, r.find(third.number))
	require.Equal(t, 2, r.len())
}
