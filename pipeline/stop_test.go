package pipeline_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// deaf is a front's loopback that does not read.
type deaf struct{ release chan struct{} }

func (deaf) PeerUp(*transport.Peer)                         {}
func (deaf) PeerDown(*transport.Peer, error)                {}
func (d deaf) Receive(*transport.Peer, []transport.Message) { <-d.release }

// listenDeaf starts such a front and returns its endpoint.
func (s *site) listenDeaf() string {
	const endpoint = "inproc://deaf"
	o := s.options
	o.Socket, o.Instance = transport.Pull, 7
	d := deaf{make(chan struct{})}
	l, err := transport.Listen(endpoint, o, d)
	require.NoError(s.t, err)
	s.background(l.Run)
	s.t.Cleanup(func() { close(d.release) }) // before the listener is stopped, and joined
	return endpoint
}

func TestAHardStopDoesNotWaitForAFrontThatDoesNotRead(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		s.answers = s.listenDeaf()
		proxy := s.listen(42)
		s.work(2, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
			switch string(job.Bytes()) {
			case "wait":
				<-ctx.Done()
				return pipeline.Result{}, ctx.Err()
			case "large":
				return pipeline.Text(200, strings.Repeat("x", 8<<20)), nil
			}
			return pipeline.Text(200, "small"), nil
		})
		b := <-proxy.beat
		<-proxy.beat
		for _, job := range []struct {
			slot uint16
			text string
		}{{0, "small"}, {0, "large"}, {1, "wait"}} { // the small one blocks the front
			_, m := s.job(job.slot, job.text)
			require.NoError(t, b.from.Send(m, nil))
			if job.text == "small" {
				<-proxy.beat
			}
			synctest.Wait()
		}
		began := time.Now()
		s.stop()
		s.stop = nil // nothing is left to stop at the end
		select {
		case <-s.ended:
		case <-time.After(time.Hour):
		}
		assert.Less(t, time.Since(began), time.Second)
	})
}

// A hard stop may be needed since a front is away; that is no failure.
func TestAWorkerStoppedHardWhileItsFrontIsAwaySaysWhatIsLost(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		s.answers = "inproc://nobody"
		proxy := s.listen(0)
		s.work(1, echo)
		_, m := s.job(0, "x")
		require.NoError(t, (<-proxy.beat).from.Send(m, nil))
		<-proxy.beat
		grace, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		assert.ErrorIs(t, s.worker.Shutdown(grace), context.DeadlineExceeded, "an answer waits for the front")
		s.stop()
		s.stop = nil // nothing is left to stop at the end
		require.NoError(t, <-s.ended)
		assert.Contains(t, s.log.String(), "answer lost")
	})
}

// A prime_server proxy cannot be told that a slot leaves: what it sends to one
// that it believes to be idle is done for a while.
func TestASlotThatLeavesDoesWhatAPrimeServerProxyStillSends(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(0)
		release := make(chan struct{})
		s.work(2, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
			if string(job.Bytes()) == "long" {
				<-release
			}
			return echo(ctx, job)
		})
		busy, idle := <-proxy.beat, <-proxy.beat
		long, m := s.job(0, "long")
		require.NoError(t, busy.from.Send(m, nil))
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- s.worker.Shutdown(t.Context()) }()
		synctest.Wait()
		time.Sleep(500 * time.Millisecond) // virtual: the job was on its way for so long
		crossing, m := s.job(0, "crossing")
		require.NoError(t, idle.from.Send(m, nil))
		assert.Equal(t, "crossing", string(s.answered(crossing).Body))
		close(release)
		assert.Equal(t, 200, s.answered(long).Status)
		require.NoError(t, <-down)
	})
}
