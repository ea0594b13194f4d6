package loopback_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// origin is a sender of streams that notes what it is told.
type origin struct {
	granted []uint64
	refused []wire.Key
}

func (o *origin) Credit(_ wire.Key, granted uint64) { o.granted = append(o.granted, granted) }
func (o *origin) Refuse(key wire.Key)               { o.refused = append(o.refused, key) }

// part is a part of the stream that answers info's job.
func part(info wire.Info, from loopback.Origin, number uint32, flags wire.Flags, code uint16, text string) loopback.Answer {
	info.Flags |= wire.Stream | flags
	info.Part, info.Code = number, code
	return loopback.Answer{Info: info, Payload: wire.Frames{[]byte(text)}, From: from}
}

// begun opens a request and begins its stream.
func begun(t *testing.T, table *loopback.Table, from loopback.Origin, flags wire.Flags) (*loopback.Pending, *loopback.Stream, wire.Info) {
	t.Helper()
	p := open(t, table, loopback.Ask{Bytes: 10})
	info := *p.Info()
	require.NoError(t, table.Answer(part(info, from, 0, flags, 200, "head"), nil))
	a, err := p.Wait()
	require.NoError(t, err)
	assert.Equal(t, "head", string(a.Payload.Frames()[0]))
	require.NotNil(t, p.Stream())
	return p, p.Stream(), info
}

func next(t *testing.T, s *loopback.Stream) string {
	t.Helper()
	b, err := s.Next(0)
	require.NoError(t, err)
	return string(b)
}

func TestAStreamIsReadInOrder(t *testing.T) {
	table, heard := newTable(t, loopback.TableConfig{})
	from := &origin{}
	p, s, info := begun(t, table, from, 0)
	assert.Equal(t, 1, table.Len(), "it is open until its last part")
	for i, text := range []string{"a", "bc", "", "d"} {
		require.NoError(t, table.Answer(part(info, from, uint32(i+1), 0, 0, text), nil))
	}
	assert.Equal(t, "abcd", next(t, s))
	require.NoError(t, table.Answer(part(info, from, 5, wire.StreamEnd, 0, "e"), nil))
	assert.Zero(t, table.Len())
	p.Abandon(loopback.ErrGone) // too late: it has come whole
	assert.Equal(t, "e", next(t, s))
	_, err := s.Next(0)
	assert.Equal(t, io.EOF, err)
	p.Release()
	assert.Empty(t, heard.all())
	assert.Equal(t, loopback.Stats{Opened: 1, Answered: 1}, table.Stats())
	assert.Equal(t, []uint64{wire.InitialCredit}, from.granted, "the empty part asked for it")
}

func TestAStreamMayBeOfOnePart(t *testing.T) {
	table, _ := newTable(t, loopback.TableConfig{})
	p, s, _ := begun(t, table, nil, wire.StreamEnd)
	_, err := s.Next(0)
	assert.Equal(t, io.EOF, err)
	p.Release()
	assert.EqualValues(t, 1, table.Stats().Answered)
}

// What ends a stream that its sender has not ended interrupts the job, but for
// what its sender did itself.
func TestWhatCutsAStream(t *testing.T) {
	gap := func(table *loopback.Table, _ *loopback.Pending, info wire.Info, from *origin) {
		_ = table.Answer(part(info, from, 3, 0, 0, "c"), nil)
	}
	over := func(table *loopback.Table, _ *loopback.Pending, info wire.Info, from *origin) {
		for i := range 3 {
			_ = table.Answer(part(info, from, uint32(2+i), 0, 0, string(make([]byte, wire.MaxPart))), nil)
		}
	}
	frames := func(table *loopback.Table, _ *loopback.Pending, info wire.Info, from *origin) {
		a := part(info, from, 2, 0, 0, "")
		a.Payload = wire.Frames{nil, nil}
		_ = table.Answer(a, nil)
	}
	for name, c := range map[string]struct {
		cut         func(*loopback.Table, *loopback.Pending, wire.Info, *origin)
		want        any
		interrupted int
	}{
		"a gap":           {gap, new(*loopback.PartError), 1},
		"too much":        {over, new(*loopback.PartError), 1},
		"too many frames": {frames, new(*loopback.PartError), 1},
		"twice the first": {func(table *loopback.Table, _ *loopback.Pending, info wire.Info, from *origin) {
			_ = table.Answer(part(info, from, 0, 0, 200, "head"), nil)
		}, new(*loopback.PartError), 1},
		"its sender": {func(table *loopback.Table, _ *loopback.Pending, info wire.Info, from *origin) {
			_ = table.Answer(part(info, from, 2, wire.StreamEnd, 502, ""), nil)
		}, new(*loopback.PartError), 0},
		"its sender's loss": {func(table *loopback.Table, _ *loopback.Pending, _ wire.Info, from *origin) {
			table.Gone(&origin{refused: make([]wire.Key, 1)})
			table.Gone(from)
		}, loopback.ErrSenderLost, 1},
		"its client": {func(_ *loopback.Table, p *loopback.Pending, _ wire.Info, _ *origin) {
			p.Abandon(loopback.ErrGone)
		}, loopback.ErrGone, 1},
	} {
		t.Run(name, func(t *testing.T) {
			table, heard := newTable(t, loopback.TableConfig{})
			from := &origin{}
			p, s, info := begun(t, table, from, 0)
			require.NoError(t, table.Answer(part(info, from, 1, 0, 0, "a"), nil))
			c.cut(table, p, info, from)
			assert.Zero(t, table.Len())
			var err error
			for err == nil {
				_, err = s.Next(0)
			}
			if want, ok := c.want.(error); ok {
				assert.ErrorIs(t, err, want)
			} else {
				assert.ErrorAs(t, err, c.want)
			}
			assert.Len(t, heard.all(), c.interrupted)
			assert.EqualValues(t, 1, table.Stats().Failed+table.Stats().Abandoned)
			// What still comes is not wanted.
			require.NoError(t, table.Answer(part(info, from, 2, 0, 0, "b"), nil))
			assert.Contains(t, from.refused, info.Key())
			p.Release()
		})
	}
}

// A stream is its first sender's: whoever begins it again is told to stop, and
// what a proxy says of its job is late.
func TestAStreamHasOneSender(t *testing.T) {
	table, heard := newTable(t, loopback.TableConfig{})
	from, other := &origin{}, &origin{}
	p, s, info := begun(t, table, from, 0)
	require.NoError(t, table.Answer(part(info, other, 0, 0, 200, "again"), nil))
	require.NoError(t, table.Answer(part(info, other, 1, 0, 0, "x"), nil))
	require.NoError(t, table.Answer(answer(info, "502"), nil))
	table.Lost(&info)
	require.NoError(t, table.Answer(part(info, from, 1, wire.StreamEnd, 0, "a"), nil))
	assert.Equal(t, "a", next(t, s))
	_, err := s.Next(0)
	assert.Equal(t, io.EOF, err)
	assert.Equal(t, []wire.Key{info.Key(), info.Key()}, other.refused)
	assert.Empty(t, from.refused)
	assert.Empty(t, heard.all())
	assert.EqualValues(t, 3, table.Stats().Late)
	p.Release()
}

// A part that is no first one begins no stream.
func TestAStreamBeginsAtItsBeginning(t *testing.T) {
	table, _ := newTable(t, loopback.TableConfig{})
	from := &origin{}
	p := open(t, table, loopback.Ask{})
	require.NoError(t, table.Answer(part(*p.Info(), from, 1, 0, 0, "b"), nil))
	assert.Len(t, from.refused, 1)
	require.NoError(t, table.Answer(answer(*p.Info(), "whole"), nil))
	_, err := p.Wait()
	require.NoError(t, err)
	assert.Nil(t, p.Stream())
	p.Release()
}

// Parts of a job that was scattered are stopped when the stream ends, and not
// before: the stream is one of them.
func TestAStreamOfAScatteredJob(t *testing.T) {
	table, heard := newTable(t, loopback.TableConfig{})
	from := &origin{}
	p, _, info := begun(t, table, from, wire.Scattered)
	assert.Empty(t, heard.all())
	require.NoError(t, table.Answer(part(info, from, 1, wire.StreamEnd, 0, ""), nil))
	assert.Equal(t, []wire.Key{info.Key()}, heard.all())
	p.Release()
}

// eager sends as much as it may, as soon as it may.
type eager struct {
	table   *loopback.Table
	info    wire.Info
	number  uint32
	cost    uint64
	granted uint64
}

const pieceOfEager = 10 << 10

func (e *eager) Refuse(wire.Key) {}

func (e *eager) Credit(_ wire.Key, granted uint64) {
	e.granted = granted
	for e.cost+wire.PartCost(pieceOfEager) <= granted {
		e.number++
		e.cost += wire.PartCost(pieceOfEager)
		_ = e.table.Answer(part(e.info, e, e.number, 0, 0, string(make([]byte, pieceOfEager))), nil)
	}
}

// Credit is granted as what was sent leaves, and bounds what is held.
func TestCreditFollowsTheReader(t *testing.T) {
	for _, window := range []uint64{wire.InitialCredit, 200 << 10} {
		table, _ := newTable(t, loopback.TableConfig{StreamWindow: int64(window)})
		from := &eager{table: table}
		p, s, info := begun(t, table, from, 0)
		from.info = info
		from.Credit(info.Key(), wire.InitialCredit)
		var read uint64 // what has left when Next is called
		for read < 100*window {
			before := read
			n := len(next(t, s))
			require.LessOrEqual(t, from.granted, max(before+window, wire.InitialCredit))
			require.LessOrEqual(t, uint64(n), window)
			read += uint64(n) / pieceOfEager * wire.PartCost(pieceOfEager)
		}
		p.Abandon(loopback.ErrGone)
		p.Release()
	}
	_, err := loopback.NewTable(loopback.TableConfig{StreamWindow: 1})
	assert.ErrorContains(t, err, "too small")
}

// Once a stream has begun the deadline of its request does not end it, and a
// reader who waits for too long is told.
func TestAStreamOutlivesTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, _ := newTable(t, loopback.TableConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- table.Run(ctx) }()
		defer func() {
			cancel()
			require.NoError(t, <-done)
		}()
		p := open(t, table, loopback.Ask{Deadline: time.Now().Add(time.Second)})
		info := *p.Info()
		from := &origin{}
		require.NoError(t, table.Answer(part(info, from, 0, 0, 200, "head"), nil))
		_, err := p.Wait()
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		require.NoError(t, table.Answer(part(info, from, 1, 0, 0, "late"), nil))
		b, err := p.Stream().Next(time.Second)
		require.NoError(t, err)
		assert.Equal(t, "late", string(b))
		began := time.Now()
		_, err = p.Stream().Next(3 * time.Second)
		assert.ErrorIs(t, err, loopback.ErrStalled)
		assert.Equal(t, 3*time.Second, time.Since(began))
		p.Abandon(loopback.ErrGone)
		p.Release()
	})
}

// FuzzParts sends any parts of two senders: what is read is what the first of
// them sent, in order, and never more than was granted.
func FuzzParts(f *testing.F) {
	f.Add([]byte{0, 0, 5, 1, 0, 3, 2, 0, 9, 0x83, 0, 0})
	f.Add([]byte{0, 1, 9, 0, 0, 9, 1, 0x41, 200, 1, 0, 7, 2, 0x80, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		table, err := loopback.NewTable(loopback.TableConfig{})
		require.NoError(t, err)
		p, err := table.Open(loopback.Ask{})
		require.NoError(t, err)
		info := *p.Info()
		senders := []*origin{{}, {}}
		var first *origin
		var want []byte
		number, cost := uint32(0), uint64(0)
		script = script[:min(len(script), 120)]
		for ; len(script) >= 3; script = script[3:] {
			from, n := senders[script[1]&1], uint32(script[0]&7)
			text := bytes.Repeat([]byte{script[2]}, int(script[2])*int(1+script[1]>>6&1)*60)
			flags := wire.Flags(script[0] >> 7 * uint8(wire.StreamEnd))
			open := table.Len() > 0
			_ = table.Answer(part(info, from, n, flags, uint16(script[1]&0x30), string(text)), nil)
			if first == nil && n == 0 {
				first, number = from, 1
			} else if open && from == first && n == number && cost+wire.PartCost(len(text)) <= wire.InitialCredit {
				want, number, cost = append(want, text...), number+1, cost+wire.PartCost(len(text))
			}
		}
		p.Abandon(loopback.ErrGone)
		if _, err := p.Wait(); err != nil {
			require.Nil(t, first)
			return
		}
		var read []byte
		for err == nil {
			var b []byte
			b, err = p.Stream().Next(0)
			read = append(read, b...)
		}
		if !bytes.Equal(want, read) || len(read) > wire.InitialCredit {
			t.Fatalf("%d bytes were read, want %d", len(read), len(want))
		}
		p.Release()
		require.Zero(t, table.Len())
	})
}
