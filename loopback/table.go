package loopback

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// Defaults of a TableConfig.
const (
	DefaultMaxPending      = 10_000
	DefaultMaxPendingBytes = 256 << 20
)

// TableConfig configures a Table.
type TableConfig struct {
	// Instance is the random number of this start, by which workers and
	// proxies tell this front's requests from its predecessor's. 0: made.
	Instance uint64
	// FrontName tells several fronts of one pipeline apart; at most 28 bytes.
	// Empty where there is one front.
	FrontName string
	// MaxPending bounds the open requests; 0: DefaultMaxPending. More cost
	// memory and wait longer; fewer are refused earlier.
	MaxPending int
	// MaxPendingBytes bounds the bytes of their bodies; 0: DefaultMaxPendingBytes.
	MaxPendingBytes int64
	// StreamWindow bounds the bytes of a streamed answer that are held for its
	// client, with wire.PartOverhead for each part; 0: DefaultStreamWindow, which
	// is the least. A stream takes up to twice as much memory. More is for
	// clients or workers that are far away.
	StreamWindow int64
	// ProxyGrace is how long after the loss of a proxy jobs may be claimed by
	// who holds them, before they count as lost; 0: DefaultProxyGrace, negative:
	// nobody is asked, and what was lost so ends at its deadline. Less answers
	// sooner; more bears with slower holders and longer cuts.
	ProxyGrace time.Duration
}

func (c TableConfig) withDefaults() TableConfig {
	if c.Instance == 0 {
		c.Instance = NewInstance()
	}
	if c.MaxPending == 0 {
		c.MaxPending = DefaultMaxPending
	}
	if c.MaxPendingBytes == 0 {
		c.MaxPendingBytes = DefaultMaxPendingBytes
	}
	if c.StreamWindow == 0 {
		c.StreamWindow = DefaultStreamWindow
	}
	if c.ProxyGrace == 0 {
		c.ProxyGrace = DefaultProxyGrace
	}
	return c
}

// NewInstance returns a random number, not 0, that names one start of a process.
func NewInstance() uint64 {
	for {
		if n := rand.Uint64(); n != 0 {
			return n
		}
	}
}

// Stats counts what became of requests since the table was made.
type Stats struct {
	Opened    uint64 // requests taken
	Answered  uint64 // by an answer, up to its last part
	Expired   uint64 // by their deadline
	Abandoned uint64 // by their client
	Failed    uint64 // not submitted, stopped hard, or streams that their senders did not end well
	Refused   uint64 // over a bound, or draining
	Crowded   uint64 // of those, over MaxPending
	Heavy     uint64 // of those, over MaxPendingBytes
	Late      uint64 // answers, and parts, for requests no longer open, or never opened here, or answered by a stream of another sender
	Retried   uint64 // jobs submitted again after they got lost
}

// Table holds the open requests of one front. It is safe for concurrent use.
//
// Every request opened ends exactly once: by the first answer, its deadline,
// its client's leaving, or a hard stop. In the last three cases, and in the first
// if the request was scattered, the table's interrupters are told its key. A job
// that got lost with a proxy may be submitted again, under another key: an answer
// under any of them counts, and the others are interrupted.
type Table struct {
	cfg     TableConfig
	told    []Interrupter
	callers []RollCaller
	stages  []Losable
	wake    chan struct{} // a deadline earlier than armed was added
	pool    sync.Pool
	empty   chan struct{} // closed once draining and nothing is open

	mu        sync.Mutex          // guards the fields below and every Pending's state
	open      map[uint32]*Pending // by the first number
	later     map[uint32]*Pending // by those of jobs submitted again
	recovery  recovery
	deadlines deadlineHeap
	armed     time.Time // when Run's timer fires next
	lastID    uint32
	bytes     int64
	draining  bool
	closed    bool
	stats     Stats
}

// NewTable validates cfg and returns an empty table. Deadlines are kept while
// Run runs.
func NewTable(cfg TableConfig) (*Table, error) {
	cfg = cfg.withDefaults()
	switch {
	case len(cfg.FrontName) > wire.MaxFrontName:
		return nil, fmt.Errorf("loopback: front name %q has %d bytes, at most %d fit the envelope", cfg.FrontName, len(cfg.FrontName), wire.MaxFrontName)
	case cfg.MaxPending < 0:
		return nil, fmt.Errorf("loopback: max pending %d is negative", cfg.MaxPending)
	case cfg.MaxPendingBytes < 0:
		return nil, fmt.Errorf("loopback: max pending bytes %d is negative", cfg.MaxPendingBytes)
	case cfg.StreamWindow < DefaultStreamWindow:
		return nil, fmt.Errorf("loopback: a stream window of %d bytes is too small: workers may send %d unasked", cfg.StreamWindow, DefaultStreamWindow)
	}
	return &Table{
		cfg:      cfg,
		wake:     make(chan struct{}, 1),
		empty:    make(chan struct{}),
		open:     make(map[uint32]*Pending),
		recovery: recovery{grace: cfg.ProxyGrace},
		lastID:   rand.Uint32(),
	}, nil
}

// Instance returns the random number of this start.
func (t *Table) Instance() uint64 { return t.cfg.Instance }

// Notify adds to those told the keys of requests that end without an answer.
// A RollCaller among them is to ask who holds jobs. Call it before Run and Open.
func (t *Table) Notify(i Interrupter) {
	t.told = append(t.told, i)
	if c, ok := i.(RollCaller); ok {
		t.callers = append(t.callers, c)
	}
}

// Ask describes a request to open.
type Ask struct {
	Bytes    int       // of the request's body, counted against MaxPendingBytes
	Now      time.Time // the zero time: read the clock
	Deadline time.Time // the zero time: none
}

// Open takes a request. The caller must Wait for it and Release it. The error
// is a *FullError, ErrDraining or ErrClosed.
func (t *Table) Open(a Ask) (*Pending, error) {
	if a.Now.IsZero() {
		a.Now = time.Now()
	}
	p, _ := t.pool.Get().(*Pending)
	if p == nil {
		p = &Pending{table: t, done: make(chan struct{}, 1)}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.admit(int64(a.Bytes)); err != nil {
		t.stats.Refused++
		return nil, err
	}
	p.info = wire.Info{ID: t.freeID(), Time: uint32(a.Now.Unix()), Version: 1, Extended: true}
	p.info.Instance = t.cfg.Instance
	p.info.SetDeadline(a.Deadline)
	if t.cfg.FrontName != "" {
		p.info.SetField(wire.FrontName, []byte(t.cfg.FrontName))
	}
	p.bytes, p.deadline, p.ended, p.heapIndex = int64(a.Bytes), a.Deadline, false, -1
	t.open[p.info.ID] = p
	t.bytes += p.bytes
	t.stats.Opened++
	if !a.Deadline.IsZero() {
		t.watch(p)
	}
	return p, nil
}

func (t *Table) admit(bytes int64) error {
	switch {
	case t.closed:
		return ErrClosed
	case t.draining:
		return ErrDraining
	case len(t.open) >= t.cfg.MaxPending:
		t.stats.Crowded++
		return &FullError{"requests", int64(t.cfg.MaxPending)}
	case t.bytes+bytes > t.cfg.MaxPendingBytes:
		t.stats.Heavy++
		return &FullError{"bytes", t.cfg.MaxPendingBytes}
	}
	return nil
}

// freeID returns the next number that no open request bears. Numbers wrap
// around; a request may be open for longer than a turn takes.
func (t *Table) freeID() uint32 {
	for {
		t.lastID++
		_, used := t.open[t.lastID]
		if _, later := t.later[t.lastID]; !used && !later {
			return t.lastID
		}
	}
}

// Answer ends the request that a's info frame names. If it is not open any
// more, or never was here, the answer is counted and dropped. Where parts of the
// request may still be worked on, they are interrupted. The first part of a
// stream ends the wait for the answer, the last the request. It never fails.
func (t *Table) Answer(a Answer, sent transport.Notifier) error {
	if a.Info.Extended && a.Info.Flags.Has(wire.Stream) {
		t.part(&a)
	} else {
		t.whole(&a)
	}
	if sent != nil {
		sent.Sent(nil)
	}
	return nil
}

// whole takes an answer in one piece.
func (t *Table) whole(a *Answer) {
	var dead []wire.Key
	var again []retry
	t.mu.Lock()
	p := t.find(&a.Info)
	switch {
	case p == nil, p.stream != nil, p.superseded(a): // what it says of the job is late
		t.stats.Late++
		p = nil
	case a.Info.Flags.Has(wire.Lost) && p.mayRetry():
		dead = append(dead, p.key())
		again = append(again, t.retry(p, time.Now()))
		p = nil
	default:
		p.answer = *a
		t.stats.Answered++
		dead = p.except(a.Info.ID)
		t.end(p, nil)
	}
	t.mu.Unlock()
	t.interrupt(dead...)
	t.resubmit(again)
	if p != nil && a.Info.Extended && a.Info.Flags.Has(wire.Scattered) {
		t.interrupt(a.Info.Key())
	}
}

// Lost ends the request of a job that may not have reached its stage, with
// ErrLost. In case it has, its work is interrupted.
func (t *Table) Lost(i *wire.Info) {
	t.mu.Lock()
	p := t.find(i)
	if p == nil || p.stream != nil || p.id() != i.ID { // a stream tells that it has
		t.mu.Unlock()
		return
	}
	t.stats.Failed++
	others := p.others()
	t.end(p, ErrLost)
	t.mu.Unlock()
	t.interrupt(i.Key())
	t.interrupt(others...)
}

// find returns the open request of an info frame. The whole key has to match:
// running numbers alone can be guessed, and meet a restarted front's.
func (t *Table) find(i *wire.Info) *Pending { return t.lookup(i.Key()) }

// end takes p out of the table and wakes its waiter, or the reader of its stream.
func (t *Table) end(p *Pending, err error) {
	delete(t.open, p.info.ID)
	for _, id := range p.ids {
		delete(t.later, id)
	}
	if p.heapIndex >= 0 {
		t.deadlines.remove(p)
	}
	t.bytes -= p.bytes
	p.ended = true
	if p.stream != nil {
		p.stream.end(err)
	} else {
		p.err = err
		p.done <- struct{}{}
	}
	if t.draining && len(t.open) == 0 {
		close(t.empty)
	}
}

// interrupt tells everybody that nobody waits for the keys any more. It must run
// without the lock: interrupters may come back to the table.
func (t *Table) interrupt(keys ...wire.Key) {
	for _, key := range keys {
		for _, i := range t.told {
			i.Interrupt(key)
		}
	}
}

// Len returns the number of open requests.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// Load returns the number of open requests, and the bytes that they count for.
func (t *Table) Load() (requests int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open), t.bytes
}

// Stats returns the counters.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}
