package pipeline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// patient handles jobs until their contexts end.
type patient struct{ begun, ended chan struct{} }

func newPatient() *patient { return &patient{make(chan struct{}, 9), make(chan struct{}, 9)} }

func (p *patient) handle(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
	p.begun <- struct{}{}
	<-ctx.Done()
	p.ended <- struct{}{}
	return pipeline.Result{}, ctx.Err()
}

func TestJobsOfAFrontThatStaysAwayEndAndItHearsOfIt(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy, p := s.listen(42), newPatient()
		s.work(1, p.handle)
		peer := (<-proxy.beat).from
		open, job := s.job(0, "x")
		require.NoError(t, peer.Send(job, nil))
		<-p.begun
		synctest.Wait() // the worker has found the front
		s.leave()
		time.Sleep(4900 * time.Millisecond)
		synctest.Wait()
		assert.Empty(t, p.ended, "within the grace it goes on")
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		assert.Len(t, p.ended, 1)
		beat := <-proxy.beat
		assert.Equal(t, open.Info().ID, beat.slot(t).Done.ID, "the slot is free")

		queued, job := s.job(0, "x")
		require.NoError(t, peer.Send(job, nil))
		<-proxy.beat
		assert.Empty(t, p.begun, "what comes for it is not begun")
		s.bind()
		for _, request := range []*loopback.Pending{open, queued} {
			a, err := request.Wait()
			require.NoError(t, err)
			assert.EqualValues(t, 502, a.Info.Code)
			assert.True(t, a.Info.Flags.Has(wire.Lost), "it may try again")
		}

		open, job = s.job(0, "x")
		time.Sleep(time.Second)
		require.NoError(t, peer.Send(job, nil))
		<-p.begun // now that it is back
		open.Abandon(loopback.ErrGone)
		<-p.ended
	})
}

func TestJobsOfAFrontThatIsReplacedEndAtOnce(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy, p := s.listen(42), newPatient()
		s.work(1, p.handle)
		peer := (<-proxy.beat).from
		_, job := s.job(0, "x")
		require.NoError(t, peer.Send(job, nil))
		<-p.begun
		synctest.Wait() // the worker has found the front
		s.leave()
		began := time.Now()
		s.front() // of another instance
		<-p.ended
		assert.Less(t, time.Since(began), 3*time.Second, "as soon as both connections are made")
		<-proxy.beat
		require.NoError(t, peer.Send(job, nil))
		<-proxy.beat
		assert.Empty(t, p.begun)
		assert.Zero(t, s.table.Stats().Late, "the new front hears nothing of it")
	})
}

// A front that was cut off for a moment loses nothing, and what it interrupted
// meanwhile ends.
func TestAFrontThatComesBackInTimeLosesNothing(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy, p := s.listen(42), newPatient()
		s.work(2, p.handle)
		peer := (<-proxy.beat).from
		<-proxy.beat
		gone, job := s.job(0, "x")
		require.NoError(t, peer.Send(job, nil))
		stays, job := s.job(1, "x")
		require.NoError(t, peer.Send(job, nil))
		<-p.begun
		<-p.begun
		synctest.Wait() // the worker has found the front
		s.leave()
		gone.Abandon(loopback.ErrGone)
		time.Sleep(2 * time.Second)
		assert.Empty(t, p.ended)
		s.bind()
		<-p.ended
		assert.Equal(t, gone.Info().ID, (<-proxy.beat).slot(t).Done.ID)
		time.Sleep(time.Minute)
		assert.Empty(t, p.ended)
		stays.Abandon(loopback.ErrGone)
	})
}
