package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// status receives a status.
func (p *peer) status() wire.Status {
	p.t.Helper()
	for {
		m := receive(p.t, p.got)
		if s, err := wire.ParseStatus(m[0]); err == nil && len(m) == 1 {
			return s
		}
	}
}

// Fronts hear at every tick that the stage is full, and how long its jobs wait.
func TestAFullStageSaysSoAgainAndAgain(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Balancer.MaxQueue = 2 })
	front, worker := r.front(5), r.worker(7)
	worker.beat(0, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	for id := range uint32(4) {
		front.submit(butterflyInfo(id+1), "x")
	}
	r.expectAnswer(4, 503)
	for front.status().Full == false {
	}
	best := time.Hour // the machine may be busy
	for range 5 {
		began := time.Now()
		for range 3 {
			require.True(t, front.status().Full)
		}
		best = min(best, time.Since(began))
	}
	require.Less(t, best, announceInterval)

	info, _ := worker.job()
	worker.beat(0, info.Key())
	info, _ = worker.job()
	worker.beat(0, info.Key())
	for front.status().Full {
	}
}

// The proxy refuses what cannot be done in time, and says how long others wait.
func TestAProxyRefusesWhatWouldBeTooLate(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Balancer.Admission = AdmitDeadline })
	front, worker := r.front(5), r.worker(7)
	worker.beat(0, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	for id := range uint32(1000) {
		front.submit(butterflyInfo(id+1), "x")
	}
	r.eventually(func(s wire.Status) bool { return s.Queued == 999 })
	for range 20 {
		info, _ := worker.job()
		time.Sleep(2 * time.Millisecond) // is what the job takes
		worker.beat(0, info.Key())
	}
	r.eventually(func(s wire.Status) bool { return s.Queued == 979 && s.Wait > time.Second })
	late := butterflyInfo(2000)
	late.SetDeadline(time.Now().Add(500 * time.Millisecond))
	front.submit(late, "x")
	r.expectAnswer(2000, 503)
	passing := butterflyInfo(2001)
	passing.Hops = 1 // of another stage
	passing.SetDeadline(time.Now().Add(500 * time.Millisecond))
	front.submit(passing, "x")
	r.eventually(func(s wire.Status) bool { return s.Queued == 980 })
}

func TestAProxyWithoutWorkersRefusesAtOnce(t *testing.T) {
	r := newRig(t, "inproc", func(c *Config) { c.Balancer.NoWorkers = NoWorkersRefuse })
	front := r.front(5)
	front.submit(butterflyInfo(1), "x")
	r.expectAnswer(1, 503)
	worker := r.worker(7)
	worker.beat(0, wire.Key{})
	r.eventually(func(s wire.Status) bool { return s.Idle == 1 })
	front.submit(butterflyInfo(2), "x")
	info, _ := worker.job()
	require.EqualValues(t, 2, info.ID)
}
