package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// turnOf makes a job of a client and class; its number tells it from others.
func turnOf(client uint32, priority uint8, number int) *loopback.Job {
	info := wire.Info{ID: uint32(number), Extended: true}
	info.Client, info.Priority = client, priority
	return &loopback.Job{Info: info, Payload: wire.Frames{nil}}
}

// crowded returns a Balancer whose only slot is busy, so that jobs wait.
func crowded(t require.TestingT, c BalancerConfig) (*Balancer, *Slot) {
	b := NewBalancer(c)
	s := b.Join(Butterfly, nil)
	b.Idle(s, nil, wire.Key{})
	require.NoError(t, b.Submit(turnOf(99, 0, -1)))
	_, ok := b.Next(time.Time{})
	require.True(t, ok)
	return b, s
}

// served lets the slot work off n jobs and returns them.
func served(b *Balancer, s *Slot, n int) []*loopback.Job {
	var jobs []*loopback.Job
	for range n {
		b.Idle(s, nil, s.held.key)
		a, ok := b.Next(time.Time{})
		if !ok {
			break
		}
		jobs = append(jobs, a.Job)
	}
	return jobs
}

func submit(t testing.TB, b *Balancer, jobs ...*loopback.Job) {
	for _, j := range jobs {
		require.NoError(t, b.Submit(j))
	}
	_, ok := b.Next(time.Time{})
	require.False(t, ok, "the slot is busy")
}

func TestAClientWithManyJobsDelaysAnotherByOne(t *testing.T) {
	b, s := crowded(t, BalancerConfig{})
	for n := range 1000 {
		submit(t, b, turnOf(1, 0, n))
	}
	submit(t, b, turnOf(2, 0, 5000))
	next := served(b, s, 3)
	assert.EqualValues(t, 1, next[0].Info.Client)
	assert.EqualValues(t, 2, next[1].Info.Client)
	assert.EqualValues(t, 1, next[2].Info.Client)
	assert.EqualValues(t, 1, next[2].Info.ID, "the first one's own order stays")
}

func TestClassesShareByTheirWeights(t *testing.T) {
	b, s := crowded(t, BalancerConfig{Weights: []int{3, 1, 2}})
	for n := range 60 {
		submit(t, b, turnOf(uint32(n%3), uint8(n%3), n))
	}
	got := ""
	for _, j := range served(b, s, 18) {
		got += fmt.Sprint(j.Info.Priority)
	}
	assert.Equal(t, got[:6], got[6:12], "the turns are spread evenly")
	count := map[uint8]int{}
	for _, c := range got {
		count[uint8(c-'0')]++
	}
	assert.Equal(t, map[uint8]int{0: 9, 1: 3, 2: 6}, count)
}

func TestAClassBeyondIsTheLast(t *testing.T) {
	b, s := crowded(t, BalancerConfig{Weights: []int{1, 1}})
	submit(t, b, turnOf(1, 1, 1), turnOf(1, 200, 2))
	jobs := served(b, s, 2)
	assert.EqualValues(t, 1, jobs[0].Info.ID)
	assert.EqualValues(t, 2, jobs[1].Info.ID)
}

// A class that was empty has saved no turns.
func TestAnEmptyClassSavesNothing(t *testing.T) {
	b, s := crowded(t, BalancerConfig{Weights: []int{1, 1}})
	for n := range 50 {
		submit(t, b, turnOf(1, 0, n))
	}
	served(b, s, 20)
	for n := range 10 {
		submit(t, b, turnOf(2, 1, 100+n))
	}
	batch := 0
	for _, j := range served(b, s, 4) {
		batch += int(j.Info.Priority)
	}
	assert.Equal(t, 2, batch)
}

func TestAJobGivenBackIsNextOfItsClass(t *testing.T) {
	b, s := crowded(t, BalancerConfig{})
	submit(t, b, turnOf(1, 0, 1), turnOf(2, 0, 2), turnOf(3, 0, 3))
	b.Requeue(turnOf(4, 0, 4))
	assert.EqualValues(t, 4, served(b, s, 1)[0].Info.ID)
}

// TestOrderAgainstAModel plays random arrivals, cancellations and turns: all
// jobs come out once, each client's in order, and nothing stays behind.
func TestOrderAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type flowID struct {
			client   uint32
			priority uint8
		}
		o := order{weights: []int{5, 2, 1}}
		model := map[flowID][]int{}
		entries := map[int]*entry{}
		numbers := 0
		drop := func(id flowID, at int) {
			number := model[id][at]
			o.remove(entries[number])
			delete(entries, number)
			model[id] = append(append([]int(nil), model[id][:at]...), model[id][at+1:]...)
			if len(model[id]) == 0 {
				delete(model, id)
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			id := flowID{rapid.Uint32Range(1, 4).Draw(t, "client"), rapid.Uint8Range(0, 2).Draw(t, "class")}
			switch rapid.SampledFrom([]string{"add", "add", "front", "cancel", "next"}).Draw(t, "what") {
			case "add":
				numbers++
				e := &entry{client: id.client, priority: id.priority, key: wire.Key{ID: uint32(numbers)}}
				entries[numbers], model[id] = e, append(model[id], numbers)
				o.add(e, false)
			case "front":
				numbers++
				e := &entry{client: id.client, priority: id.priority, key: wire.Key{ID: uint32(numbers)}}
				entries[numbers], model[id] = e, append([]int{numbers}, model[id]...)
				o.add(e, true)
			case "cancel":
				if n := len(model[id]); n > 0 {
					drop(id, rapid.IntRange(0, n-1).Draw(t, "at"))
				}
			case "next":
				e := o.next()
				if len(entries) == 0 {
					require.Nil(t, e)
					continue
				}
				of := flowID{e.client, e.priority}
				require.EqualValues(t, model[of][0], e.key.ID, "first in, first out within a client")
				drop(of, 0)
			}
		}
		for len(entries) > 0 {
			e := o.next()
			of := flowID{e.client, e.priority}
			require.EqualValues(t, model[of][0], e.key.ID)
			drop(of, 0)
		}
		require.Nil(t, o.next())
		for _, c := range o.classes {
			require.Empty(t, c.clients)
			require.Nil(t, c.turn)
			require.Zero(t, c.credit)
		}
	})
}

// BenchmarkWaiting passes jobs of 64 clients through a queue in which they wait.
func BenchmarkWaiting(b *testing.B) {
	stage, s := crowded(b, BalancerConfig{})
	jobs := make([]*loopback.Job, 64)
	for n := range jobs {
		jobs[n] = turnOf(uint32(n), 0, n)
	}
	submit(b, stage, jobs...)
	b.ReportAllocs()
	for b.Loop() {
		stage.Idle(s, nil, s.held.key)
		a, _ := stage.Next(time.Time{})
		_ = stage.Submit(a.Job)
		stage.queue.settle()
	}
}
