package loopback

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// line is a dialed connection that follows each message until its fate is
// known, over as many connections as that takes. It is safe for concurrent use;
// the handler of its dialer tells it PeerUp and PeerDown.
type line struct {
	*account
	dialer   *transport.Dialer
	endpoint string
	resend   int         // how often a message that got lost is sent again
	up       atomic.Bool // connected
	away     underWay
}

// underWay lists the messages of a line that have not reached the kernel.
type underWay struct {
	mu    sync.Mutex // guards first, and the links of those in the list
	first *dispatch
}

func (u *underWay) add(d *dispatch) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if d.next = u.first; d.next != nil {
		d.next.prev = d
	}
	u.first = d
}

func (u *underWay) remove(d *dispatch) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if d.prev == nil {
		u.first = d.next
	} else {
		d.prev.next = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
}

// held calls add with the keys of the messages of a front.
func (u *underWay) held(front uint64, add func(wire.Key)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for d := u.first; d != nil; d = d.next {
		if d.key.Instance == front {
			add(d.key)
		}
	}
}

// account is of messages whose fate is not known. Lines may share one.
type account struct {
	open  atomic.Int64
	empty chan struct{} // holds a token once open has become 0
}

func newAccount() *account { return &account{empty: make(chan struct{}, 1)} }

// dial makes the line's dialer; it acquires nothing.
func (l *line) dial(endpoint string, o transport.Options, h transport.Handler) (err error) {
	l.endpoint = endpoint
	if l.account == nil {
		l.account = newAccount()
	}
	l.dialer, err = transport.NewDialer(endpoint, o, h)
	return err
}

// send queues a message. sent, which may be nil, is told once, with nil or with
// why the message may never arrive. Where there is no connection, so that this
// may take long, it is told transport.ErrWaiting first, and then once more only
// if the message gets lost. The error is that of transport.Dialer.Send.
func (l *line) send(info *wire.Info, frames [][]byte, sent transport.Notifier) error {
	if info.Enclosed() { // by our proxy: here its frame leaves us
		whole := *info
		whole.Restore()
		info = &whole
	}
	d := &dispatch{line: l, sent: sent, resend: l.resend, key: info.Key()}
	if info.Extended && info.Flags.Has(wire.Stream) {
		d.resend = 0 // it would come out of turn
	}
	d.message = append(append(d.frames[:0], info.AppendTo(d.room[:0])), frames...)
	l.open.Add(1)
	l.away.add(d)
	if err := l.dialer.Send(d.message, d); err != nil {
		l.away.remove(d)
		l.settle()
		return err
	}
	if !l.up.Load() {
		d.waits()
	}
	return nil
}

// settle ends the account of a message.
func (a *account) settle() {
	if a.open.Add(-1) == 0 {
		select {
		case a.empty <- struct{}{}:
		default:
		}
	}
}

// flush waits until no message is on its way any more, or ctx ends; then it
// returns ctx's cause. The dialers have to run.
func (a *account) flush(ctx context.Context) error {
	for a.open.Load() > 0 {
		select {
		case <-a.empty:
		case <-ctx.Done():
			return fmt.Errorf("loopback: %d messages have not left: %w", a.open.Load(), context.Cause(ctx))
		}
	}
	select {
	case a.empty <- struct{}{}: // for others who wait
	default:
	}
	return nil
}

// dispatch is a message on its way, in one piece of memory, and what is told of
// its fate. Its Sent is never called twice at a time: a message is in one place.
type dispatch struct {
	line    *line
	sent    transport.Notifier // nil: nobody waits
	resend  int                // how often it may still be sent again
	told    atomic.Bool        // sent has been told, be it that it waits
	message transport.Message
	frames  [3][]byte
	room    [96]byte

	key        wire.Key
	prev, next *dispatch // in line.away
}

// Sent implements transport.Notifier. What the fate brings about is told before
// the account is settled: a flush waits for it, too.
func (d *dispatch) Sent(err error) {
	if err != nil && d.again(err) {
		return
	}
	if d.sent != nil && (!d.told.Swap(true) || err != nil) {
		d.sent.Sent(err)
	}
	d.line.away.remove(d)
	d.line.settle()
}

// again sends a message again that got lost with its connection. The writing of
// the next one has not begun.
func (d *dispatch) again(err error) bool {
	if d.resend == 0 || errors.Is(err, transport.ErrClosed) {
		return false
	}
	d.resend--
	if d.line.dialer.Send(d.message, d) != nil {
		return false
	}
	d.waits()
	return true
}

// waits tells that the message has to wait for a connection.
func (d *dispatch) waits() {
	if d.sent != nil && !d.told.Swap(true) {
		d.sent.Sent(transport.ErrWaiting)
	}
}
