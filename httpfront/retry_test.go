package httpfront

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

// gauged is a stage whose jobs wait.
type gauged struct {
	stage
	wait time.Duration
}

func (g gauged) Wait() time.Duration { return g.wait }
func (g gauged) Busy() (int, bool)   { return 1, false }

// after returns a reply's Retry-After in seconds.
func (r reply) after(t *testing.T) int {
	t.Helper()
	s, err := strconv.Atoi(r.Header.Get("Retry-After"))
	require.NoError(t, err)
	return s
}

// With the bound of pending requests a client is told what its stage's jobs wait.
func TestARefusalByTheFrontSaysWhatTheStageWaits(t *testing.T) {
	came := make(chan *loopback.Job, 1)
	slow := gauged{stage(func(j *loopback.Job) error { came <- j; return nil }), 20 * time.Second}
	r := startWith(t, Config{Route: func(*httptext.Request) (Route, error) { return Route{Stage: slow}, nil }},
		loopback.TableConfig{MaxPending: 1}, nil)
	first := r.dial()
	first.send(get("/"))
	job := wait(t, came)
	second := r.dial()
	second.send(get("/"))
	resp := second.read("GET")
	require.Equal(t, 503, resp.StatusCode)
	require.GreaterOrEqual(t, resp.after(t), 20)
	require.LessOrEqual(t, resp.after(t), 30)
	r.reply(job, httptext.NewText(200, "ok"))
	require.Equal(t, 200, first.read("GET").StatusCode)
}

func TestARefusalByTheStageSaysWhatItSays(t *testing.T) {
	fails := []error{&loopback.StageFullError{Retry: 40 * time.Second}, errors.New("other")}
	r := start(t, Config{}, func(*rig, *loopback.Job) error {
		err := fails[0]
		fails = fails[1:]
		return err
	})
	c := r.dial()
	c.send(get("/"))
	resp := c.read("GET")
	require.Equal(t, 503, resp.StatusCode)
	require.GreaterOrEqual(t, resp.after(t), 40)
	c.send(get("/"))
	require.LessOrEqual(t, c.read("GET").after(t), 2, "nothing is known")
}

func TestAnAnswersOwnRetryAfterReachesTheClient(t *testing.T) {
	for _, accept := range []string{"text/plain", "application/problem+json"} {
		r := start(t, Config{}, func(r *rig, j *loopback.Job) error {
			r.reply(j, httptext.NewRefusal(503, "busy", 30*time.Second))
			return nil
		})
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\nAccept: " + accept + "\r\n\r\n")
		resp := c.read("GET")
		require.Equal(t, 503, resp.StatusCode)
		require.GreaterOrEqual(t, resp.after(t), 30)
		require.Len(t, resp.Header.Values("Retry-After"), 1)
	}
}
