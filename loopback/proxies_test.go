package loopback_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// upstreamEnd is the upstream socket of a proxy.
type upstreamEnd struct {
	receiver
	status wire.Status
	peers  chan *transport.Peer
}

func (u *upstreamEnd) PeerUp(p *transport.Peer) {
	if p.Instance() != 0 || u.status.Slots > 0 {
		_ = p.Send(transport.Message{u.status.AppendTo(nil)}, nil)
	}
	u.peers <- p
}

// say tells the sender a status.
func (u *upstreamEnd) say(s wire.Status) {
	p := <-u.peers
	u.peers <- p
	_ = p.Send(transport.Message{s.AppendTo(nil)}, nil)
	synctest.Wait()
}

// got returns the jobs that have come, by their first frames.
func (u *upstreamEnd) got() (texts []string) {
	synctest.Wait()
	for len(u.receiver) > 0 {
		texts = append(texts, string((<-u.receiver)[1]))
	}
	return texts
}

// proxy starts a proxy's upstream socket, whose connections carry so many bytes;
// 0 is no limit.
func (s *site) proxy(endpoint string, instance uint64, status wire.Status, carry int) (*upstreamEnd, func()) {
	u := &upstreamEnd{make(receiver, 10000), status, make(chan *transport.Peer, 100)}
	o := s.options
	o.Socket, o.Instance = transport.Router, instance
	if carry > 0 {
		o.WrapConn = func(nc net.Conn) net.Conn { return &brittle{nc, carry} }
	}
	l, err := transport.Listen(endpoint, o, u)
	require.NoError(s.t, err)
	return u, s.background(l.Run)
}

// forget gives the site a table that looks for no lost jobs: nobody here claims.
func (s *site) forget() { s.table, _ = newTable(s.t, loopback.TableConfig{ProxyGrace: -1}) }

func (s *site) proxies(table *loopback.Table, endpoints ...string) *loopback.Proxies {
	o := s.options
	o.Instance = 99
	p, err := loopback.NewProxies(endpoints, o, table)
	require.NoError(s.t, err)
	s.background(p.Run)
	synctest.Wait()
	return p
}

func textJob(text string) *loopback.Job {
	return &loopback.Job{Payload: wire.Frames{[]byte(text)}, Size: len(text)}
}

var eightIdle = wire.Status{Workers: 1, Slots: 8, Idle: 8}

func TestJobsAreSpreadOverProxies(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		a, _ := s.proxy("inproc://a", 1, eightIdle, 0)
		b, stop := s.proxy("inproc://b", 2, eightIdle, 0)
		stage := s.proxies(nil, "inproc://a", "inproc://b")
		for n := range 1000 {
			require.NoError(t, stage.Submit(textJob(strconv.Itoa(n)), nil))
		}
		require.NoError(t, stage.Flush(t.Context()))
		inA, inB := a.got(), b.got()
		assert.InDelta(t, 500, len(inA), 10)
		assert.Len(t, inB, 1000-len(inA), "each job goes to one of them")

		a.say(wire.Status{Workers: 1, Slots: 8, Idle: 8, Draining: true})
		require.NoError(t, stage.Submit(textJob("x"), nil))
		assert.Empty(t, a.got(), "it said that it is about to end")
		assert.Equal(t, []string{"x"}, b.got())
		stop()
		synctest.Wait()
		require.NoError(t, stage.Submit(textJob("y"), nil))
		assert.Equal(t, []string{"y"}, a.got(), "a stage sends to one that drains rather than wait")
	})
}

// What waits for one proxy does not wait for that one alone.
func TestJobsWaitForWhicheverProxyComes(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		stage := s.proxies(nil, "inproc://a", "inproc://b")
		told := make(fates, 10)
		require.NoError(t, stage.Submit(textJob("early"), told))
		assert.Equal(t, []error{transport.ErrWaiting}, told.next(), "who sends does not wait with it")
		b, stop := s.proxy("inproc://b", 2, eightIdle, 0)
		require.NoError(t, stage.Flush(t.Context()))
		assert.Equal(t, []string{"early"}, b.got())
		assert.Empty(t, told.next(), "nobody is told again")
		stop()
		synctest.Wait()
		require.NoError(t, stage.Submit(textJob("late"), told))
		a, _ := s.proxy("inproc://a", 1, eightIdle, 0)
		require.NoError(t, stage.Flush(t.Context()))
		assert.Equal(t, []string{"late"}, a.got())
	})
}

// A job whose writing had not begun when its proxy died has not been done: it
// goes to another proxy. The one that was being written may have been.
func TestWhatHasNotLeftGoesToAnotherProxy(t *testing.T) {
	for _, front := range []bool{false, true} {
		t.Run(map[bool]string{false: "of a stage", true: "of a front"}[front], func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				var table *loopback.Table
				s.forget()
				if front {
					table = s.table
				}
				_, die := s.proxy("inproc://a", 1, eightIdle, 200<<10)
				stage := s.proxies(table, "inproc://a", "inproc://b")
				told := make(fates, 100)
				var asked []*loopback.Pending
				submit := func(text string) {
					job := textJob(text)
					if !front {
						require.NoError(t, stage.Submit(job, told))
						return
					}
					p := open(t, s.table, loopback.Ask{})
					job.Info = *p.Info()
					asked = append(asked, p)
					require.NoError(t, stage.Submit(job, nil))
				}
				submit(large)
				for n := range 20 {
					submit(strconv.Itoa(n))
				}
				synctest.Wait() // the connection has broken
				die()
				b, _ := s.proxy("inproc://b", 2, eightIdle, 0)
				require.NoError(t, stage.Flush(t.Context()))
				assert.Len(t, b.got(), 20)
				if front {
					_, err := asked[0].Wait()
					require.ErrorIs(t, err, loopback.ErrLost)
					assert.Equal(t, 20, s.table.Len(), "the others go on")
					for _, p := range asked[1:] {
						p.Fail(nil)
					}
					return
				}
				lost := 0
				for _, err := range told.next() {
					if err != nil && err != transport.ErrWaiting { //nolint:errorlint // exactly that one
						lost++
					}
				}
				assert.Equal(t, 1, lost)
			})
		})
	}
}

func TestAFrontWaitsForAProxyThatDoesNotDrain(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		leaving := eightIdle
		leaving.Draining = true
		s.forget()
		a, stopA := s.proxy("inproc://a", 1, leaving, 0)
		stage := s.proxies(s.table, "inproc://a", "inproc://b")
		ask := func() error {
			p := open(t, s.table, loopback.Ask{})
			job := textJob("x")
			job.Info = *p.Info()
			err := stage.Submit(job, nil)
			if err != nil {
				p.Fail(err)
			}
			return err
		}
		require.NoError(t, ask(), "it waits for the other one")
		assert.Empty(t, a.got())
		b, _ := s.proxy("inproc://b", 2, eightIdle, 0)
		time.Sleep(3 * time.Second) // virtual
		assert.Len(t, b.got(), 1)
		b.say(leaving)
		require.NoError(t, ask(), "all are about to end, and have successors")
		assert.Empty(t, b.got())
		stopA()
		a, _ = s.proxy("inproc://a", 3, eightIdle, 0)
		time.Sleep(3 * time.Second)
		assert.Len(t, a.got(), 1)
		assert.Equal(t, 2, s.table.Len())
	})
}

func TestWhatWaitsForProxiesIsBounded(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		s.options.Queue.Count = 3
		o := s.options
		stage, err := loopback.NewProxies([]string{"inproc://a", "inproc://b"}, o, nil)
		require.NoError(t, err)
		stop := s.background(stage.Run)
		told := make(fates, 10)
		for range 3 {
			require.NoError(t, stage.Submit(textJob("x"), told))
		}
		var full *transport.QueueFullError
		require.ErrorAs(t, stage.Submit(textJob("x"), told), &full)
		assert.Equal(t, "inproc://a,inproc://b", full.Peer)
		assert.Len(t, told.next(), 3)
		stop()
		assert.Equal(t, []error{transport.ErrClosed, transport.ErrClosed, transport.ErrClosed}, told.next())
		require.NoError(t, stage.Flush(t.Context()))
		require.ErrorIs(t, stage.Submit(textJob("x"), told), transport.ErrClosed)
	})
}

func TestPartsOfAGroupGoToOneProxy(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *site) {
		a, _ := s.proxy("inproc://a", 1, eightIdle, 0)
		b, _ := s.proxy("inproc://b", 2, eightIdle, 0)
		one := s.proxies(nil, "inproc://a", "inproc://b")
		other := s.proxies(nil, "inproc://b", "inproc://a") // another process, with its own idea of the order
		met := make(map[int]int)
		for group := range 40 {
			meet := one.Meet()
			require.NotZero(t, meet)
			for part := range uint32(8) {
				for i, stage := range []*loopback.Proxies{one, other} {
					job := textJob(strconv.Itoa(group))
					job.Info.Extend()
					piece := &wire.Piece{Index: part, Total: 8, Group: uint32(group), Meet: meet}
					if group%2 == 0 {
						piece.Meet = 0 // by whoever knows nothing of it
					}
					require.True(t, job.Info.SetPiece(piece), i)
					require.NoError(t, stage.Submit(job, nil))
				}
			}
			inA, inB := a.got(), b.got()
			require.Equal(t, 16, max(len(inA), len(inB)), "group %d", group)
			require.Zero(t, min(len(inA), len(inB)))
			met[len(inA)]++
		}
		assert.Len(t, met, 2, "not all groups go to the same")
	})
}

// A sender that is not connected to all proxies yet keeps parts whose proxy may be one
// of the others, be it named or found by the key, but for a second at most.
func TestPartsWaitForTheProxyWhereTheyMeet(t *testing.T) {
	const groups = 20
	for name, c := range map[string]struct {
		comes, named bool
		atB          func(int) bool
	}{
		"the one that is named comes":     {true, true, func(n int) bool { return n == groups }},
		"one of all comes":                {true, false, func(n int) bool { return n > 0 && n < groups }},
		"the one that is named has gone":  {false, true, func(n int) bool { return n == 0 }},
		"one of all does not come at all": {false, false, func(n int) bool { return n == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			inSynctest(t, func(t *testing.T, s *site) {
				a, _ := s.proxy("inproc://a", 1, eightIdle, 0)
				stage := s.proxies(nil, "inproc://a", "inproc://b")
				began := time.Now()
				told := make(fates, 100)
				for group := range uint32(groups) {
					job := textJob("x")
					job.Info.Extend()
					piece := &wire.Piece{Total: 8, Group: group}
					if c.named {
						piece.Meet = 2 // as 2 is that of an instance 2
					}
					require.True(t, job.Info.SetPiece(piece))
					require.NoError(t, stage.Submit(job, told))
				}
				require.NoError(t, stage.Submit(textJob("no part"), nil))
				assert.Equal(t, []string{"no part"}, a.got(), "it does not wait with them")
				assert.Len(t, told.next(), groups, "nor do those who sent them")
				a.say(eightIdle)
				assert.Empty(t, a.got(), "a status changes nothing")
				atB := 0
				if c.comes {
					b, _ := s.proxy("inproc://b", 2, eightIdle, 0)
					require.NoError(t, stage.Flush(t.Context()))
					atB = len(b.got())
					assert.Less(t, time.Since(began), time.Second, "as soon as it is there")
				} else {
					require.NoError(t, stage.Flush(t.Context()))
					assert.Equal(t, time.Second, time.Since(began))
				}
				assert.Equal(t, groups-atB, len(a.got()))
				assert.True(t, c.atB(atB), "%d come to b", atB)
				assert.Empty(t, told.next(), "nobody is told again")
				if !c.comes {
					job := textJob("later")
					job.Info.Extend()
					require.True(t, job.Info.SetPiece(&wire.Piece{Total: 8, Meet: 2}))
					require.NoError(t, stage.Submit(job, nil))
					require.NoError(t, stage.Flush(t.Context()))
					assert.Equal(t, time.Second, time.Since(began), "nobody waits for a proxy that stays away")
					assert.Contains(t, a.got(), "later")
				}
			})
		})
	}
}

// book is a Resolver.
type book struct {
	mu    sync.Mutex // guards addrs
	addrs []netip.Addr
}

func (b *book) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addrs, nil
}

func (b *book) set(addrs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addrs = nil
	for _, a := range addrs {
		b.addrs = append(b.addrs, netip.MustParseAddr(a))
	}
}

// On real sockets: 127.0.0.0/8 has addresses enough.
func TestEachAddressOfANameIsAProxy(t *testing.T) {
	listen := func(host string, port int, instance uint64) (receiver, int, func()) {
		got := make(receiver, 1000)
		l, err := transport.Listen(fmt.Sprintf("tcp://%s:%d", host, port), transport.Options{Socket: transport.Router, Instance: instance}, got)
		if err != nil {
			t.Skipf("this system has no address %s: %v", host, err)
		}
		s := &site{t: t}
		e, err := netip.ParseAddrPort(l.Endpoint()[len("tcp://"):])
		require.NoError(t, err)
		return got, int(e.Port()), s.background(l.Run)
	}
	a, port, stopA := listen("127.0.0.1", 0, 1)
	b, _, _ := listen("127.0.0.2", port, 2)
	names := &book{}
	names.set("127.0.0.1", "127.0.0.2")
	stage, err := loopback.NewProxies([]string{fmt.Sprintf("tcp://proxies.example:%d", port)}, transport.Options{Resolver: names, Instance: 9}, nil)
	require.NoError(t, err)
	(&site{t: t}).background(stage.Run)
	up := func() (n int) {
		for _, s := range stage.States() {
			if s.Connected {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return up() == 2 }, 10*time.Second, time.Millisecond)
	for range 100 {
		require.NoError(t, stage.Submit(textJob("x"), nil))
	}
	require.NoError(t, stage.Flush(t.Context()))
	require.Eventually(t, func() bool { return len(a)+len(b) == 100 }, 10*time.Second, time.Millisecond)
	assert.Len(t, a, 50, "they tell nothing, so it is by turns")

	c, _, _ := listen("127.0.0.3", port, 3)
	names.set("127.0.0.2", "127.0.0.3")
	stopA() // its address is looked up again at once
	require.Eventually(t, func() bool {
		states := stage.States()
		return up() == 2 && len(states) == 2 && states[1].Instance == 3
	}, 10*time.Second, time.Millisecond)
	before := len(a)
	for range 100 {
		require.NoError(t, stage.Submit(textJob("x"), nil))
	}
	require.Eventually(t, func() bool { return len(b)+len(c) == 150 }, 10*time.Second, time.Millisecond)
	assert.Len(t, a, before)
}

func TestProxiesAreChecked(t *testing.T) {
	for name, endpoints := range map[string][]string{
		"none": nil, "a bad one": {"tcp://a:1", "nonsense"}, "one twice": {"tcp://a:1", "tcp://a:1"}, "a wildcard": {"tcp://*:1"},
	} {
		_, err := loopback.NewProxies(endpoints, transport.Options{}, nil)
		assert.Error(t, err, name)
	}
}
