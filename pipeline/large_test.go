package pipeline_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// give sends a job to slot 0 and returns its answer, and the text of its body.
func (s *site) give(b beat, text string) (*pipeline.Response, string) {
	s.t.Helper()
	p, m := s.job(0, text)
	require.NoError(s.t, b.from.Send(m, nil))
	r := s.answered(p)
	return r, string(r.Body)
}

// What no connection carries, everybody having the same limits, is not sent: the
// client is told at once, and nobody is disconnected.
func TestOutcomesThatAreTooLargeAreA500(t *testing.T) {
	limits := transport.Limits{MaxFrame: 1 << 20, MaxMessage: 1 << 20, MaxFrames: 8}
	inSynctestWith(t, transport.Options{Limits: limits}, func(t *testing.T, s *site) {
		proxy := s.listen(42)
		s.work(1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			switch string(job.Bytes()) {
			case "large answer":
				return pipeline.Text(200, strings.Repeat("x", 1<<20)), nil
			case "large job":
				return pipeline.Forward("", make([]byte, 1<<20)), nil
			case "many frames":
				return pipeline.Forward("", make([][]byte, 8)...), nil
			}
			return pipeline.Text(200, strings.Repeat("x", 1<<20-1000)), nil
		})
		b := <-proxy.beat
		for _, text := range []string{"large answer", "large job", "many frames"} {
			r, body := s.give(b, text)
			assert.Equal(t, 500, r.Status, text)
			assert.Contains(t, body, "too large", text)
			assert.Same(t, b.from, (<-proxy.beat).from, text)
		}
		r, _ := s.give(b, "as large as can be")
		assert.Equal(t, 200, r.Status)
	})
}

// brittle is a connection that breaks once it has carried left bytes.
type brittle struct {
	net.Conn
	left int
}

func (b *brittle) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		_ = b.Conn.Close()
		err = errors.New("broken")
	}
	return n, err
}

// An answer that always costs the connection, whatever the reason, does not keep
// the worker from others, and its client is told in the end.
func TestAnAnswerThatCannotBeDeliveredIsA502(t *testing.T) {
	o := transport.Options{WrapConn: func(nc net.Conn) net.Conn { return &brittle{nc, 200 << 10} }}
	inSynctestWith(t, o, func(t *testing.T, s *site) {
		proxy := s.listen(42)
		s.work(1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			if string(job.Bytes()) == "poison" {
				return pipeline.Text(200, strings.Repeat("x", 1<<20)), nil
			}
			return pipeline.Text(200, "fine"), nil
		})
		b := <-proxy.beat
		poison, m := s.job(0, "poison")
		require.NoError(t, b.from.Send(m, nil))
		<-proxy.beat
		for range 3 {
			r, _ := s.give(b, "x")
			assert.Equal(t, 200, r.Status)
			<-proxy.beat
		}
		r := s.answered(poison)
		assert.Equal(t, 502, r.Status)
		assert.Contains(t, string(r.Body), "could not be delivered")
		assert.Contains(t, s.log.String(), "answer cannot be delivered")
		r, _ = s.give(b, "x")
		assert.Equal(t, 200, r.Status)
	})
}
