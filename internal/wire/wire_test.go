package wire_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

func TestInfoRoundTrip(t *testing.T) {
	for name, frame := range goldens() {
		if name[:4] != "info" {
			continue
		}
		i, err := wire.ParseInfo(frame)
		require.NoError(t, err, name)
		assert.Equal(t, frame, i.AppendTo(nil), name)
	}
}

func TestFullInfoFits(t *testing.T) {
	i := wire.Info{}
	require.True(t, i.Extend())
	full := fullInfo(i)
	assert.Equal(t, 252, len(full.AppendTo(nil)))
	for _, tag := range []wire.Tag{wire.FrontName, wire.RequestID, wire.TraceContext, wire.Visits, wire.Trail} {
		assert.NotEmpty(t, full.Field(tag))
	}
	assert.False(t, full.SetField(99, []byte("xy")), "255 bytes are the limit")
	assert.True(t, full.SetField(99, []byte("x")))
}

func TestForeignBytesAreHandedOn(t *testing.T) {
	base := []byte{1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0, 0}
	for _, tail := range []string{"", "x", "BFL", "junk behind the frame", "bfly and more"} {
		frame := append(bytes.Clone(base), tail...)
		i, err := wire.ParseInfo(frame)
		require.NoError(t, err)
		assert.Equal(t, frame, i.AppendTo(nil))
		assert.Equal(t, tail == "", i.Extend(), "only a frame without a tail can be extended")
	}
	for n := 8; n < 12; n++ {
		i, err := wire.ParseInfo(base[:n])
		require.NoError(t, err)
		assert.Equal(t, base[:n], i.AppendTo(nil))
		require.True(t, i.Extend())
		again, err := wire.ParseInfo(i.AppendTo(nil))
		require.NoError(t, err)
		assert.Equal(t, i.Key(), again.Key())
	}
}

func TestForeignBytesAreEnclosedAndRestored(t *testing.T) {
	key := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	base := append(bytes.Clone(key), 0xff, 0xff, 0, 0)
	foreign := bytes.Repeat([]byte("z"), wire.MaxForeign)
	for _, n := range []int{1, 4, wire.MaxForeign} {
		frame := append(bytes.Clone(base), foreign[:n]...)
		i, err := wire.ParseInfo(frame)
		require.NoError(t, err)
		require.True(t, i.Enclose())
		i.Slot = 7
		travelled, err := wire.ParseInfo(i.AppendTo(nil))
		require.NoError(t, err)
		assert.True(t, travelled.Enclosed())
		assert.EqualValues(t, 7, travelled.Slot)
		travelled.Code = 200
		travelled.Restore()
		want, err := wire.ParseInfo(frame)
		require.NoError(t, err)
		want.Code = 200
		assert.Equal(t, want.AppendTo(nil), travelled.AppendTo(nil), "but for the code nothing has changed")
	}

	i, err := wire.ParseInfo(append(append(bytes.Clone(base), foreign...), 'z'))
	require.NoError(t, err)
	assert.False(t, i.Enclose(), "too many")
	assert.Len(t, i.AppendTo(nil), wire.PrimeInfo+wire.MaxForeign+1)

	for _, frame := range [][]byte{key, base, goldens()["info-full"]} {
		i, err := wire.ParseInfo(frame)
		require.NoError(t, err)
		require.True(t, i.Enclose())
		extended := i
		i.Restore()
		assert.Equal(t, extended, i, "there is nothing to restore")
	}
}

func TestBadInfoFrames(t *testing.T) {
	extended := goldens()["info-extended"]
	for want, frame := range map[string][]byte{
		"7 bytes are too few":          make([]byte, 7),
		"0 bytes are too few":          nil,
		"extension ends early":         extended[:51],
		"extension version 2":          with(extended, 16, 2),
		"field ends behind the frame":  append(bytes.Clone(extended), 1),
		"field ends behind the frame ": append(bytes.Clone(extended), 1, 2, 3),
		"tag 0 is no field":            append(bytes.Clone(extended), 0, 0),
		"256 bytes are too many":       append(bytes.Clone(extended), make([]byte, 204)...),
	} {
		_, err := wire.ParseInfo(frame)
		var bad *wire.InfoError
		require.ErrorAs(t, err, &bad, want)
		assert.ErrorContains(t, err, want[:len(want)-1])
	}
}

func with(b []byte, at int, v byte) []byte {
	b = bytes.Clone(b)
	b[at] = v
	return b
}

func TestUnknownFieldsAndFlagsAreKept(t *testing.T) {
	frame := append(bytes.Clone(goldens()["info-extended"]), 77, 3, 'a', 'b', 'c', 78, 0)
	frame[17] |= 0x80
	frame[51] = 9
	i, err := wire.ParseInfo(frame)
	require.NoError(t, err)
	assert.Equal(t, frame, i.AppendTo(nil))
	copied := i
	require.True(t, i.SetField(wire.FrontName, []byte("east")))
	assert.Nil(t, copied.Field(wire.FrontName), "copies stay as they were")
	assert.Equal(t, "abc", string(i.Field(77)))
	require.True(t, i.SetField(wire.FrontName, nil))
	assert.Equal(t, frame, i.AppendTo(nil))
}

func TestDeadlines(t *testing.T) {
	var e wire.Ext
	_, ok := e.DeadlineTime()
	assert.False(t, ok)
	at := time.Now()
	e.SetDeadline(at)
	got, ok := e.DeadlineTime()
	assert.True(t, ok)
	assert.WithinDuration(t, at, got, time.Microsecond)
	e.SetDeadline(time.Time{})
	assert.Zero(t, e.Deadline)
}

func TestOtherFramesRoundTripAndRefuse(t *testing.T) {
	g := goldens()
	for _, name := range []string{"beat", "beat-begun", "beat-withdraw", "beat-tell"} {
		b, err := wire.ParseBeat(g[name])
		require.NoError(t, err)
		assert.Equal(t, g[name], b.AppendTo(nil))
	}
	for _, name := range []string{"status", "status-prime", "status-draining", "status-closing", "status-full", "status-stuck"} {
		s, err := wire.ParseStatus(g[name])
		require.NoError(t, err)
		assert.Equal(t, g[name], s.AppendTo(nil))
	}
	short, err := wire.ParseStatus(g["status"][:28])
	require.NoError(t, err)
	whole, err := wire.ParseStatus(append(bytes.Clone(g["status"]), 1, 2, 3))
	require.NoError(t, err)
	assert.EqualValues(t, 3, whole.Parts)
	whole.Parts = 0
	assert.Equal(t, short, whole, "as versions before and after this write it")
	for _, name := range []string{"interrupt", "interrupt-prime"} {
		k, err := wire.ParseInterrupt(g[name])
		require.NoError(t, err)
		assert.Equal(t, g[name], wire.AppendInterrupt(nil, k))
	}
	for _, name := range []string{"credit", "credit-stop"} {
		c, err := wire.ParseCredit(append(bytes.Clone(g[name]), 1, 2, 3))
		require.NoError(t, err)
		assert.Equal(t, g[name], c.AppendTo(nil))
		assert.True(t, bytes.HasPrefix(g[name], wire.CreditPrefix(c.Worker)))
		assert.True(t, wire.IsCredit(g[name]))
	}
	assert.False(t, wire.IsCredit(g["interrupt"]))
	for _, name := range []string{"roll-call", "roll-call-none"} {
		r, err := wire.ParseRollCall(append(bytes.Clone(g[name]), 1, 2, 3))
		require.NoError(t, err)
		assert.Equal(t, g[name], r.AppendTo(nil))
		assert.True(t, bytes.HasPrefix(g[name], wire.RollCallPrefix()))
		assert.False(t, wire.IsCredit(g[name]))
	}
	assert.False(t, wire.IsRollCall(g["credit"]))
	assert.False(t, wire.IsRollCall(append(wire.RollCallPrefix(), make([]byte, 11)...)), "an interrupt that begins as a roll call does")
	for _, bad := range [][]byte{nil, g["roll-call"][:23], with(g["roll-call"], 0, 'X'), with(g["roll-call"], 5, 2)} {
		_, err := wire.ParseRollCall(bad)
		assert.Error(t, err)
	}
	claim, err := wire.ParseClaim(append(bytes.Clone(g["claim"]), 1, 2, 3))
	require.NoError(t, err)
	assert.Equal(t, g["claim"], wire.AppendClaim(nil, claim.Front, claim.Number, slices.Collect(claim.Keys())))
	assert.Equal(t, 2, claim.Len())
	assert.False(t, claim.Loss)
	loss, err := wire.ParseClaim(g["claim-loss"])
	require.NoError(t, err)
	assert.Equal(t, claim.Front, loss.Front)
	assert.True(t, loss.Loss)
	assert.Zero(t, loss.Len())
	for _, bad := range [][]byte{nil, g["claim"][:23], g["claim"][:39], with(g["claim"], 0, 'X'), with(g["claim"], 4, 2), with(g["claim"], 22, 1)} {
		_, err := wire.ParseClaim(bad)
		assert.Error(t, err)
	}
	for _, bad := range [][]byte{nil, g["credit"][:39], with(g["credit"], 0, 'X'), with(g["credit"], 13, 2)} {
		_, err := wire.ParseCredit(bad)
		assert.Error(t, err)
	}
	for _, bad := range [][]byte{nil, g["beat"][:31], with(g["beat"], 0, 'X'), with(g["beat"], 4, 2)} {
		_, err := wire.ParseBeat(bad)
		assert.Error(t, err)
	}
	for _, bad := range [][]byte{nil, g["status"][:27], with(g["status"], 0, 'X'), with(g["status"], 4, 2)} {
		_, err := wire.ParseStatus(bad)
		assert.Error(t, err)
	}
	_, err = wire.ParseInterrupt(make([]byte, 7))
	assert.Error(t, err)
}

func FuzzParseInfo(f *testing.F) {
	for _, frame := range goldens() {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := wire.ParseInfo(b)
		if err != nil {
			return
		}
		out := i.AppendTo(nil)
		if len(out) > max(len(b), wire.MaxInfo) {
			t.Fatalf("%d bytes became %d", len(b), len(out))
		}
		again, err := wire.ParseInfo(out)
		if err != nil {
			t.Fatalf("written and not read: %v", err)
		}
		if !bytes.Equal(out, again.AppendTo(nil)) {
			t.Fatal("not stable")
		}
		for tag := range 256 {
			_ = i.Field(wire.Tag(tag))
		}
		if enclosed := i; !i.Extended && enclosed.Enclose() {
			travelled, err := wire.ParseInfo(enclosed.AppendTo(nil))
			if err != nil {
				t.Fatalf("enclosed and not read: %v", err)
			}
			travelled.Restore()
			if len(b) > wire.PrimeInfo && !bytes.Equal(out, travelled.AppendTo(nil)) {
				t.Fatal("not restored")
			}
		}
		i.Restore()
		i.Extend()
		w := i.ReadWay()
		w.Enter(1, true)
		i.Way = &w
		i.SetField(wire.FrontName, []byte("name"))
		if i.Extended && len(i.AppendTo(nil)) > wire.MaxInfo {
			t.Fatal("too long with its way")
		}
		_ = i.Key().String()
	})
}

func FuzzParseFrames(f *testing.F) {
	for _, frame := range goldens() {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if beat, err := wire.ParseBeat(b); err == nil && !bytes.Equal(beat.AppendTo(nil), b[:32]) {
			t.Fatal("beat changed")
		}
		if c, err := wire.ParseCredit(b); err == nil {
			if again, err := wire.ParseCredit(c.AppendTo(nil)); err != nil || again != c {
				t.Fatalf("credit changed: %v, %v", again, err)
			}
		}
		if r, err := wire.ParseRollCall(b); err == nil {
			if again, err := wire.ParseRollCall(r.AppendTo(nil)); err != nil || again != r {
				t.Fatalf("roll call changed: %v, %v", again, err)
			}
		}
		if c, err := wire.ParseClaim(b); err == nil {
			keys := slices.Collect(c.Keys())
			if len(keys) != c.Len() || !bytes.HasPrefix(b[8:], wire.AppendClaim(nil, c.Front, c.Number, keys)[8:]) {
				t.Fatal("claim changed")
			}
		}
		_, _ = wire.ParseStatus(b)
		_, _ = wire.ParseInterrupt(b)
	})
}

func BenchmarkInfo(b *testing.B) {
	frame := goldens()["info-extended"]
	buf := make([]byte, 0, wire.MaxInfo)
	b.ReportAllocs()
	for b.Loop() {
		i, err := wire.ParseInfo(frame)
		if err != nil {
			b.Fatal(err)
		}
		buf = i.AppendTo(buf[:0])
	}
}
