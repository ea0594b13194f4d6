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
	crowd    *crowd
	deadline int64 // Unix µs after which the job is not given out; 0: none
	since    int64 // Unix µs from when it has waited for its first slot; 0: it has not; repeated: it had one before
	client   uint32
	priority uint8
	indexed  bool

	prev, next         *entry // the queue as it came, or the parked parts of a crowd
	newerTwin, oldTwin *entry // queued jobs of the same key
	flow               *flow  // where the job waits for its turn
	ahead, behind      *entry // in flow
}

// repeated is the since of a job that is given out again.
const repeated = -1

// late reports whether the deadline has passed at now, in Unix microseconds.
func (e *entry) late(now int64) bool { return e.deadline != 0 && now > e.deadline }

// queue holds the jobs that wait. A job that finds an idle slot passes through it
// without being indexed by key or given a turn: settle does both, once it is
// known that jobs really wait.
//
// Beside it are the parts of scattered jobs that wait for their turn to be
// queued: see crowd.
type queue struct {
	skew        int64 // µs added to deadlines
	now         int64 // Unix µs, as far as is known
	first, last *entry
	fresh       *entry // the first entry not indexed: all behind it are neither
	length      int
	bytes       int64
	frames      int   // of jobs that came over the wire
	earliest    int64 // no queued deadline is earlier; 0: there is none
	index       map[wire.Key]*entry
	order       order // of the entries that are indexed
	crowds      crowds
	spare       *entry // singly linked by next
	spares      int
}

// deadlineOf returns the moment after which a job is not given out, in Unix
// microseconds, with what clocks may differ by; 0: there is none.
func deadlineOf(info *wire.Info, skew int64) int64 {
	if !info.Extended || info.Deadline == 0 || info.Deadline > math.MaxInt64-skew {
		return 0
	}
	return info.Deadline + skew
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
	e.job, e.key, e.deadline = job, job.Info.Key(), deadlineOf(&job.Info, q.skew)
	if job.Info.Extended {
		e.client, e.priority = job.Info.Client, job.Info.Priority
	}
	return e
}

// count takes note of an entry that is queued.
func (q *queue) count(e *entry) {
	if e.deadline != 0 && (q.earliest == 0 || e.deadline < q.earliest) {
		q.earliest = e.deadline
	}
	q.length++
	q.bytes += int64(e.job.Size)
	q.frames += framesOf(e.job)
}

// push appends a job, or parks it if it is a part whose crowd has no room.
func (q *queue) push(job *loopback.Job) {
	e := q.newEntry(job)
	if x := q.crowds.of(job); x != nil {
		e.crowd = x
		if x.active >= x.width || x.first != nil {
			q.crowds.park(x, e)
			return
		}
		x.active++
	}
	q.append(e)
}

// append puts an entry behind all others.
func (q *queue) append(e *entry) {
	q.count(e)
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

// admit queues parked parts for which there is room.
func (q *queue) admit() {
	for _, x := range q.crowds.ready {
		x.ready = false
		for x.first != nil && x.active < x.width {
			x.active++
			q.append(q.crowds.unpark(x))
		}
		if x.first == nil && x.active == 0 {
			q.crowds.remove(x)
		}
	}
	clear(q.crowds.ready)
	q.crowds.ready = q.crowds.ready[:0]
}

// pushFront gives a job the next turn of its class, whether its crowd has room
// or not. It is indexed at once, since fresh entries are always the last ones.
func (q *queue) pushFront(job *loopback.Job) {
	e := q.newEntry(job)
	if e.crowd = q.crowds.of(job); e.crowd != nil {
		e.crowd.active++
	}
	q.count(e)
	e.since = repeated
	e.next = q.first
	if q.first == nil {
		q.last = e
	} else {
		q.first.prev = e
	}
	q.first = e
	q.link(e)
	q.order.add(e, true)
}

// head returns the job whose turn it is, nil if there is none. Jobs that have
// not waited are taken as they came.
func (q *queue) head() *entry {
	if q.fresh == q.first {
		return q.first
	}
	q.settle()
	return q.order.next()
}

// drop takes an entry out, and its job out of its crowd, and returns the job.
func (q *queue) drop(e *entry) *loopback.Job {
	x := e.crowd
	job := q.remove(e)
	q.crowds.leave(x)
	return job
}

// dropParked takes the first parked part of a crowd out and returns its job.
func (q *queue) dropParked(x *crowd) *loopback.Job {
	e := q.crowds.unpark(x)
	job := e.job
	q.recycle(e)
	if x.first == nil && x.active == 0 {
		q.crowds.remove(x)
	}
	return job
}

// remove takes an entry out and returns its job, which stays in its crowd.
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
		q.order.remove(e)
	}
	job := e.job
	q.length--
	q.bytes -= int64(job.Size)
	q.frames -= framesOf(job)
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

// settle indexes every entry that is not yet, and gives it its turn: from now on
// it waits.
func (q *queue) settle() {
	for ; q.fresh != nil; q.fresh = q.fresh.next {
		q.fresh.since = q.now
		q.link(q.fresh)
		q.order.add(q.fresh, false)
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
	for x := q.crowds.all[key]; x != nil; {
		twin := x.twin
		for ; x.first != nil; n++ {
			q.dropParked(x)
		}
		x = twin
	}
	for e := q.index[key]; e != nil; n++ {
		old := e.oldTwin
		q.drop(e)
		e = old
	}
	return n
}

// expire removes the jobs whose deadline has passed at now, in Unix
// microseconds. It walks the queue, and what is parked, only when one may have.
func (q *queue) expire(now int64) (late []*loopback.Job) {
	if q.earliest != 0 && now > q.earliest {
		q.earliest = 0
		for e := q.first; e != nil; {
			next := e.next
			switch {
			case e.late(now):
				late = append(late, q.drop(e))
			case e.deadline != 0 && (q.earliest == 0 || e.deadline < q.earliest):
				q.earliest = e.deadline
			}
			e = next
		}
	}
	return append(late, q.expireParked(now)...)
}

// expireParked is expire for parked parts. All parts of a crowd have the
// deadline of their request.
func (q *queue) expireParked(now int64) (late []*loopback.Job) {
	if q.crowds.earliest == 0 || now <= q.crowds.earliest {
		return nil
	}
	q.crowds.earliest = 0
	for _, x := range q.crowds.all {
		for x != nil {
			twin := x.twin
			for x.first != nil && x.first.late(now) {
				late = append(late, q.dropParked(x))
			}
			if e := x.first; e != nil && e.deadline != 0 && (q.crowds.earliest == 0 || e.deadline < q.crowds.earliest) {
				q.crowds.earliest = e.deadline
			}
			x = twin
		}
	}
	return late
}

// clear removes all jobs and returns them, those that are parked last.
func (q *queue) clear() []*loopback.Job {
	jobs := make([]*loopback.Job, 0, q.length+q.crowds.parked)
	for q.first != nil {
		jobs = append(jobs, q.drop(q.first))
	}
	for _, x := range q.crowds.all {
		for x != nil {
			twin := x.twin
			for x.first != nil {
				jobs = append(jobs, q.dropParked(x))
			}
			x = twin
		}
	}
	return jobs
}
