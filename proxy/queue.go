package proxy

import (
	"math"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// maxSpare bounds the entries that a queue keeps for reuse: enough that a
// busy stage allocates none, few enough that a peak's memory is given back.
const maxSpare = 1024

// entry is a queued job. What the queue must know of it is copied, since the
// job's fields are for its holder.
type entry struct {
	job      *loopback.Job
	key      wire.Key
	deadline int64 // Unix µs after which the job is not given out; 0: none
	indexed  bool

	prev, next         *entry // the queue
	newerTwin, oldTwin *entry // queued jobs of the same key
}

// late reports whether the deadline has passed at now, in Unix microseconds.
func (e *entry) late(now int64) bool { return e.deadline != 0 && now > e.deadline }

// queue holds jobs in the order in which they are to be given out. A job that
// finds an idle slot passes through it without being indexed by key: the index
// is brought up to date by settle, once it is known that jobs really wait.
type queue struct {
	skew        int64 // µs added to deadlines
	first, last *entry
	fresh       *entry // the first entry not indexed: all behind it are neither
	length      int
	bytes       int64
	earliest    int64 // no queued deadline is earlier; 0: there is none
	index       map[wire.Key]*entry
	spare       *entry // singly linked by next
	spares      int
}

// deadlineOf returns the moment after which a job is not given out, or 0.
func (q *queue) deadlineOf(info *wire.Info) int64 {
	if !info.Extended || info.Deadline == 0 || info.Deadline > math.MaxInt64-q.skew {
		return 0
	}
	return info.Deadline + q.skew
}

// newEntry takes an entry from the spares, or makes one.
func (q *queue) newEntry(job *loopback.Job) *entry {
	e := q.spare
	if e == nil {
		e = new(entry)
	} else {
		q.spare, q.spares = e.next, q.spares-1
		e.next = nil
	}
	e.job, e.key, e.deadline = job, job.Info.Key(), q.deadlineOf(&job.Info)
	if e.deadline != 0 && (q.earliest == 0 || e.deadline < q.earliest) {
		q.earliest = e.deadline
	}
	q.length++
	q.bytes += int64(job.Size)
	return e
}

// push appends a job.
func (q *queue) push(job *loopback.Job) {
	e := q.newEntry(job)
	e.prev = q.last
	if q.last == nil {
		q.first = e
	} else {
		q.last.next = e
	}
	q.last = e
	if q.fresh == nil {
		q.fresh = e
	}
}

// pushFront puts a job before all others. It is indexed at once, since fresh
// entries are always the last ones.
func (q *queue) pushFront(job *loopback.Job) {
	e := q.newEntry(job)
	e.next = q.first
	if q.first == nil {
		q.last = e
	} else {
		q.first.prev = e
	}
	q.first = e
	q.link(e)
}

// remove takes an entry out and returns its job.
func (q *queue) remove(e *entry) *loopback.Job {
	if q.fresh == e {
		q.fresh = e.next
	}
	if e.prev == nil {
		q.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		q.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	if e.indexed {
		q.unlink(e)
	}
	job := e.job
	q.length--
	q.bytes -= int64(job.Size)
	if q.length == 0 {
		q.earliest = 0
	}
	q.recycle(e)
	return job
}

func (q *queue) recycle(e *entry) {
	if q.spares >= maxSpare {
		return
	}
	*e = entry{next: q.spare}
	q.spare, q.spares = e, q.spares+1
}

// settle indexes every entry that is not yet.
func (q *queue) settle() {
	for ; q.fresh != nil; q.fresh = q.fresh.next {
		q.link(q.fresh)
	}
}

// link adds an entry to the index. Keys repeat: the entries of one key form a
// list of their own, linked both ways so that a flood of one key costs no more
// than others.
func (q *queue) link(e *entry) {
	if q.index == nil {
		q.index = make(map[wire.Key]*entry)
	}
	if old := q.index[e.key]; old != nil {
		e.oldTwin, old.newerTwin = old, e
	}
	q.index[e.key] = e
	e.indexed = true
}

func (q *queue) unlink(e *entry) {
	if e.oldTwin != nil {
		e.oldTwin.newerTwin = e.newerTwin
	}
	switch {
	case e.newerTwin != nil:
		e.newerTwin.oldTwin = e.oldTwin
	case e.oldTwin != nil:
		q.index[e.key] = e.oldTwin
	default:
		delete(q.index, e.key)
	}
}

// cancel removes the jobs of a key and returns how many there were.
func (q *queue) cancel(key wire.Key) int {
	q.settle()
	n := 0
	for e := q.index[key]; e != nil; n++ {
		old := e.oldTwin
		q.remove(e)
		e = old
	}
	return n
}

// expire removes the jobs whose deadline has passed at now, in Unix
// microseconds. It walks the queue only when one may have.
func (q *queue) expire(now int64) (late []*loopback.Job) {
	if q.earliest == 0 || now <= q.earliest {
		return nil
	}
	earliest := int64(0)
	for e := q.first; e != nil; {
		next := e.next
		switch {
		case e.late(now):
			late = append(late, q.remove(e))
		case e.deadline != 0 && (earliest == 0 || e.deadline < earliest):
			earliest = e.deadline
		}
		e = next
	}
	q.earliest = earliest
	return late
}
