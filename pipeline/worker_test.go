package pipeline_test

import (
	"bytes"
	"context"
	"log/slog"
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
)

// site is everything around a worker: a front and a proxy, inside the process
// but over the whole of ZMTP.
type site struct {
	t       *testing.T
	options transport.Options
	table   *loopback.Table
	publish *loopback.Publisher
	leave   func()        // the front's sockets go
	answers string        // the endpoint to which the worker's answers go
	timeout time.Duration // the worker's stage's
	worker  *pipeline.Worker
	proxy   *fakeProxy
	stop    context.CancelFunc // the worker's hard stop
	ended   chan error         // the worker's Run
	log     lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fakeProxy is a ROUTER that writes down what comes.
type fakeProxy struct {
	stop   func()
	beat   chan beat
	served bool // a test has done with it
}

type beat struct {
	from   *transport.Peer
	frames transport.Message
}

func (p *fakeProxy) PeerUp(*transport.Peer)          {}
func (p *fakeProxy) PeerDown(*transport.Peer, error) {}
func (p *fakeProxy) Receive(from *transport.Peer, batch []transport.Message) {
	for _, m := range batch {
		p.beat <- beat{from, m}
	}
}

// slot returns the butterfly part of a beat.
func (b beat) slot(t *testing.T) wire.Beat {
	t.Helper()
	require.Len(t, b.frames, 2)
	w, err := wire.ParseBeat(b.frames[1])
	require.NoError(t, err)
	return w
}

// inSynctest runs test with a site in a bubble of virtual time.
func inSynctest(t *testing.T, test func(*testing.T, *site)) {
	inSynctestWith(t, transport.Options{}, test)
}

// inSynctestWith does so with options for everybody; WrapConn is the front's only.
func inSynctestWith(t *testing.T, o transport.Options, test func(*testing.T, *site)) {
	synctest.Test(t, func(t *testing.T) {
		o.Inproc = transport.NewInproc()
		s := &site{t: t, options: o, answers: "inproc://answers"}
		s.front()
		s.options.WrapConn = nil
		test(t, s)
		if s.stop != nil {
			s.stop()
			<-s.ended
		}
	})
}

// background runs f until the end of the test.
func (s *site) background(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	s.t.Cleanup(stop)
	return stop
}

func (s *site) front() {
	var err error
	s.table, err = loopback.NewTable(loopback.TableConfig{})
	require.NoError(s.t, err)
	s.background(s.table.Run)
	s.bind()
}

// bind opens the sockets of the front.
func (s *site) bind() {
	o := s.options
	o.Instance = s.table.Instance()
	collector, err := loopback.NewCollector("inproc://answers", o, s.table)
	require.NoError(s.t, err)
	s.publish, err = loopback.NewPublisher("inproc://interrupts", o)
	require.NoError(s.t, err)
	s.table.Notify(s.publish)
	collector.Grant(s.publish)
	stops := []func(){s.background(collector.Run), s.background(s.publish.Run)}
	s.leave = func() {
		for _, stop := range stops {
			stop()
		}
	}
	<-collector.Ready()
	<-s.publish.Ready()
}

// listen starts a fake proxy; instance 0 is prime_server's.
func (s *site) listen(instance uint64) *fakeProxy {
	o := s.options
	o.Socket, o.Instance = transport.Router, instance
	p := &fakeProxy{beat: make(chan beat, 100)}
	l, err := transport.Listen("inproc://downstream", o, p)
	require.NoError(s.t, err)
	p.stop = s.background(l.Run)
	s.proxy = p
	return p
}

// work starts a worker with slots.
func (s *site) work(slots int, h pipeline.HandlerFunc) {
	w, err := pipeline.NewWorker(pipeline.WorkerConfig{
		Stage:      "work",
		Handler:    h,
		Slots:      slots,
		Timeout:    s.timeout,
		Upstream:   "inproc://downstream",
		Next:       map[string]string{"": "inproc://next"},
		Fronts:     []loopback.FrontEndpoint{{Endpoint: s.answers}},
		Interrupts: []string{"inproc://interrupts"},
		Transport:  s.options,
		Logger:     slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	require.NoError(s.t, err)
	ctx, stop := context.WithCancel(s.t.Context())
	s.worker, s.stop, s.ended = w, stop, make(chan error, 1)
	go func() { s.ended <- w.Run(ctx) }()
}

// job opens a request and returns it with its job's frames for a slot. An hour
// of virtual time without an answer fails the test.
func (s *site) job(slot uint16, text string) (*loopback.Pending, transport.Message) {
	p, err := s.table.Open(loopback.Ask{Deadline: time.Now().Add(time.Hour)})
	require.NoError(s.t, err)
	info := *p.Info()
	info.Slot = slot
	return p, transport.Message{info.AppendTo(nil), []byte(text)}
}

func (s *site) answered(p *loopback.Pending) *pipeline.Response {
	a, err := p.Wait()
	require.NoError(s.t, err)
	r, err := pipeline.NewAnswer(a).Response()
	require.NoError(s.t, err)
	return r
}

func echo(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	return pipeline.Text(200, string(job.Bytes())).WithBeat([]byte("after " + string(job.Bytes()))), nil
}

func TestOneConnectionCarriesAllSlotsOfAButterflyProxy(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(42)
		s.work(3, echo)
		first := <-proxy.beat
		seen := map[uint16]bool{first.slot(t).Slot: true}
		for range 2 {
			b := <-proxy.beat
			assert.Same(t, first.from, b.from)
			assert.Empty(t, b.frames[0])
			seen[b.slot(t).Slot] = true
		}
		assert.Equal(t, map[uint16]bool{0: true, 1: true, 2: true}, seen)

		p, m := s.job(2, "hello")
		key := p.Info().Key()
		require.NoError(t, first.from.Send(m, nil))
		assert.Equal(t, "hello", string(s.answered(p).Body))
		b := <-proxy.beat
		assert.Equal(t, "after hello", string(b.frames[0]))
		assert.Equal(t, key, b.slot(t).Done)
		assert.EqualValues(t, 2, b.slot(t).Slot)
	})
}

func TestPrimeServerProxyGetsAConnectionForEachSlot(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(0)
		running := make(chan struct{}, 3)
		release := make(chan struct{})
		s.work(3, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
			running <- struct{}{}
			<-release
			return echo(ctx, job)
		})
		peers := map[*transport.Peer]bool{}
		var pending []*loopback.Pending
		for range 3 {
			b := <-proxy.beat
			require.Len(t, b.frames, 1, "a prime_server proxy gets nothing that it does not know")
			peers[b.from] = true
			p, m := s.job(0, "x")
			require.NoError(t, b.from.Send(m, nil))
			pending = append(pending, p)
		}
		assert.Len(t, peers, 3)
		for range 3 {
			<-running // at the same time
		}
		close(release)
		for _, p := range pending {
			assert.Equal(t, "x", string(s.answered(p).Body))
			assert.Equal(t, "after x", string((<-proxy.beat).frames[0]))
		}
	})
}

func TestWorkerFollowsAProxyThatIsReplaced(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		s.listen(0)
		s.work(2, echo)
		for _, instance := range []uint64{0, 42, 0, 43, 44, 0, 0} {
			if s.proxy.served {
				s.proxy.stop()
				s.listen(instance)
			}
			peers := map[*transport.Peer]bool{}
			for _, b := range []beat{<-s.proxy.beat, <-s.proxy.beat} {
				peers[b.from] = true
				p, m := s.job(0, "x")
				if instance != 0 {
					p, m = s.job(b.slot(t).Slot, "x")
				}
				require.NoError(t, b.from.Send(m, nil))
				assert.Equal(t, 200, s.answered(p).Status)
			}
			for range 2 {
				<-s.proxy.beat
			}
			assert.Len(t, peers, map[bool]int{true: 2, false: 1}[instance == 0])
			s.proxy.served = true
		}
	})
}

func TestInterruptReachesTheRunningHandler(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(42)
		started := make(chan struct{})
		s.work(1, func(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
			close(started)
			<-ctx.Done()
			return pipeline.Text(200, "too late"), nil
		})
		b := <-proxy.beat
		p, m := s.job(0, "x")
		key := p.Info().Key()
		require.NoError(t, b.from.Send(m, nil))
		<-started
		synctest.Wait() // until the worker has subscribed
		p.Abandon(loopback.ErrGone)
		assert.Equal(t, key, (<-proxy.beat).slot(t).Done)
		synctest.Wait()
		assert.Zero(t, s.table.Stats().Late, "nothing is sent for it")
	})
}

func TestForwardedJobsReachTheNextProxy(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		o := s.options
		o.Socket = transport.Router
		next := &fakeProxy{beat: make(chan beat, 1)}
		l, err := transport.Listen("inproc://next", o, next)
		require.NoError(t, err)
		s.background(l.Run)
		proxy := s.listen(42)
		s.work(1, func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
			return pipeline.Forward("any", []byte("a"), nil, []byte("c")), nil
		})
		b := <-proxy.beat
		p, m := s.job(0, "x")
		require.NoError(t, b.from.Send(m, nil))
		forwarded := <-next.beat
		require.Len(t, forwarded.frames, 4)
		info, err := wire.ParseInfo(forwarded.frames[0])
		require.NoError(t, err)
		assert.Equal(t, p.Info().Key(), info.Key())
		assert.Equal(t, "a", string(forwarded.frames[1]))
		assert.Empty(t, forwarded.frames[2])
		<-proxy.beat
		p.Fail(nil)
	})
}

func TestShutdownWithdrawsSlotsAndLosesNoJob(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(42)
		s.work(2, echo)
		b := <-proxy.beat
		<-proxy.beat
		down := make(chan error, 1)
		go func() { down <- s.worker.Shutdown(t.Context()) }()
		crossed := false
		for receipts := 0; receipts < 2; {
			w := (<-proxy.beat).slot(t)
			assert.True(t, w.Withdraw)
			if w.Slot == 0 && !crossed { // a job crosses the withdrawal: it is done, and the slot withdraws again
				crossed = true
				p, m := s.job(0, "crossing")
				require.NoError(t, b.from.Send(m, nil))
				assert.Equal(t, "crossing", string(s.answered(p).Body))
				continue
			}
			synctest.Wait()
			assert.Empty(t, down)
			require.NoError(t, b.from.Send(transport.Message{w.AppendTo(nil)}, nil))
			receipts++
		}
		require.NoError(t, <-down)
	})
}

func TestShutdownDoesNotWaitForAProxyThatKnowsNoWithdrawal(t *testing.T) {
	for name, listen := range map[string]bool{"prime_server": true, "away": false} {
		t.Run(name, func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				if listen {
					s.listen(0)
				}
				s.work(1, echo)
				if listen {
					<-s.proxy.beat
				}
				require.NoError(t, s.worker.Shutdown(t.Context()))
			})
		})
	}
}

func TestBadMessagesAreRefusedAndTheWorkerGoesOn(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(42)
		s.work(1, echo)
		b := <-proxy.beat
		foreign := wire.Beat{Worker: 1, Withdraw: true}
		for _, m := range []transport.Message{
			{[]byte("short")}, {nil, nil}, {nil}, {make([]byte, 300)}, {foreign.AppendTo(nil)},
		} {
			require.NoError(t, b.from.Send(m, nil))
		}
		p, m := s.job(0, "x")
		require.NoError(t, b.from.Send(m[:1], nil))
		assert.Equal(t, 400, s.answered(p).Status, "a job without frames is answered at once")
		<-proxy.beat
		p, m = s.job(99, "slot out of range")
		require.NoError(t, b.from.Send(m, nil))
		assert.Equal(t, 200, s.answered(p).Status)
		assert.Contains(t, s.log.String(), "message refused")
	})
}

func TestMoreJobsThanPlacesAreAnswered(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(42)
		release := make(chan struct{})
		s.work(1, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
			<-release
			return echo(ctx, job)
		})
		b := <-proxy.beat
		var pending []*loopback.Pending
		for range 7 {
			p, m := s.job(0, "x")
			require.NoError(t, b.from.Send(m, nil))
			pending = append(pending, p)
			synctest.Wait()
		}
		for _, p := range pending[5:] {
			assert.Equal(t, 503, s.answered(p).Status)
		}
		close(release)
		for _, p := range pending[:5] {
			assert.Equal(t, 200, s.answered(p).Status)
		}
	})
}

func TestASlotThatWasLeftAnswersForAPrimeServerProxy(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(0)
		release := make(chan struct{})
		s.work(2, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
			<-release
			return echo(ctx, job)
		})
		busy, left := <-proxy.beat, <-proxy.beat
		p, m := s.job(0, "accepted")
		require.NoError(t, busy.from.Send(m, nil))
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- s.worker.Shutdown(t.Context()) }()
		time.Sleep(2 * time.Second) // virtual: until the slot has waited long enough
		late, m := s.job(0, "too late")
		require.NoError(t, left.from.Send(m, nil))
		assert.Equal(t, 503, s.answered(late).Status)
		close(release)
		assert.Equal(t, 200, s.answered(p).Status)
		require.NoError(t, <-down)
	})
}

func TestASlotWithAnotherJobWaitingDoesNotBeat(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		proxy := s.listen(0)
		release := make(chan struct{})
		s.work(1, func(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
			<-release
			return echo(ctx, job)
		})
		b := <-proxy.beat
		for _, text := range []string{"one", "two"} {
			_, m := s.job(0, text)
			require.NoError(t, b.from.Send(m, nil))
		}
		synctest.Wait()
		close(release)
		assert.Equal(t, "after two", string((<-proxy.beat).frames[0]), "one beat, after the second")
	})
}
