package wire_test

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the golden frames anew; review the difference")

// The golden frames are part of docs/protocol.md: a change of one is a change
// of the protocol.
func TestGoldenFrames(t *testing.T) {
	for name, made := range goldens() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "golden", name+".hex")
			if *rewrite {
				require.NoError(t, os.WriteFile(path, []byte(dump(made)), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(want), dump(made))
		})
	}
}

// goldens are frames by name: those of the info frame start with "info".
func goldens() map[string][]byte {
	job := wire.Key{Instance: 0x1122334455667788, ID: 7, Time: 0x6543210f}
	prime := wire.Info{ID: 7, Time: 0x6543210f, Version: 1, KeepAlive: true}
	answered := prime
	answered.Code, answered.KeepAlive, answered.Close = 200, false, true
	extended := prime
	extended.Extend()
	extended.Instance = job.Instance
	full := fullInfo(extended)
	cyclic := extended
	var way wire.Way
	way.Enter(wire.StageHash("parse"), false)
	for cyclic.Hops = 1; cyclic.Hops < 4; cyclic.Hops++ {
		way.Enter(wire.StageHash("compute"), true)
	}
	cyclic.Way = &way
	part := extended
	part.Hops, part.Flags = 1, wire.Scattered
	part.SetPiece(&wire.Piece{Index: 2, Total: 1000, Group: 1, Join: wire.StageHash("sum"), Width: 16, Timeout: 250, Policy: wire.BestEffort})
	joined := wire.Joined{
		{Index: 0, Payload: wire.Frames{[]byte("ab"), []byte("c")}},
		{Index: 1, State: wire.PartFailed, Code: 422, Payload: wire.Frames{[]byte("no number")}},
		{Index: 2, State: wire.PartMissing},
	}.Frames()
	foreign, err := wire.ParseInfo(append(prime.AppendTo(nil), "foreign"...))
	if err != nil {
		panic(err)
	}
	enclosed := foreign
	enclosed.Enclose()
	beat := wire.Beat{Slot: 3, Worker: 0x99aabbccddeeff00, Done: job}
	withdraw := beat
	withdraw.Withdraw = true
	tell := wire.Beat{Worker: beat.Worker, Withdraw: true, Tell: true}
	givenUp := beat
	givenUp.GivenUp = true
	begun := beat
	begun.Begun = true
	status := wire.Status{Workers: 2, Slots: 8, Idle: 5, Queued: 1, Rate: 1000, Parts: 3}
	compat := status
	compat.Prime = true
	draining := status
	draining.Draining = true
	busy := status
	busy.Idle, busy.Queued, busy.Rate, busy.Full, busy.Wait = 0, 500, 800, true, 625*time.Millisecond
	closing := draining
	closing.Closing = true
	opening := extended
	opening.Flags, opening.Code = wire.Stream, 200
	ending := extended
	ending.Flags, ending.Part = wire.Stream|wire.StreamEnd, 3
	failing := ending
	failing.Code = 500
	credit := wire.Credit{Worker: 0x99aabbccddeeff00, Key: job, Granted: 3 << 15}
	stop := credit
	stop.Granted, stop.Stop = 0, true
	lost := extended
	lost.Flags, lost.Code = wire.Lost, 502
	call := wire.RollCall{Front: job.Instance, Number: 5, Window: 500 * time.Millisecond}
	welcome := wire.RollCall{Front: job.Instance}
	stuck := status
	stuck.Stuck = []uint64{beat.Worker}
	return map[string][]byte{
		"info-prime":      prime.AppendTo(nil),
		"info-prime-200":  answered.AppendTo(nil),
		"info-extended":   extended.AppendTo(nil),
		"info-full":       full.AppendTo(nil),
		"info-cycle":      cyclic.AppendTo(nil),
		"info-part":       part.AppendTo(nil),
		"info-stream":     opening.AppendTo(nil),
		"info-stream-end": ending.AppendTo(nil),
		"info-stream-cut": failing.AppendTo(nil),
		"credit":          credit.AppendTo(nil),
		"credit-stop":     stop.AppendTo(nil),
		"info-lost":       lost.AppendTo(nil),
		"roll-call":       call.AppendTo(nil),
		"roll-call-none":  welcome.AppendTo(nil),
		"claim":           wire.AppendClaim(nil, job.Instance, 5, []wire.Key{job, {Instance: job.Instance, ID: 8, Time: job.Time}}),
		"claim-loss":      wire.AppendLoss(nil, job.Instance),
		"joined-table":    joined[0],
		"joined-bytes":    joined[1],
		"info-foreign":    foreign.AppendTo(nil),
		"info-enclosed":   enclosed.AppendTo(nil),
		"beat":            beat.AppendTo(nil),
		"beat-withdraw":   withdraw.AppendTo(nil),
		"beat-given-up":   givenUp.AppendTo(nil),
		"beat-begun":      begun.AppendTo(nil),
		"beat-tell":       tell.AppendTo(nil),
		"interrupt":       wire.AppendInterrupt(nil, job),
		"interrupt-prime": wire.AppendInterrupt(nil, wire.Key{ID: 7, Time: 0x6543210f}),
		"status":          status.AppendTo(nil),
		"status-prime":    compat.AppendTo(nil),
		"status-draining": draining.AppendTo(nil),
		"status-full":     busy.AppendTo(nil),
		"status-closing":  closing.AppendTo(nil),
		"status-stuck":    stuck.AppendTo(nil),
	}
}

// fullInfo fills every field to its bound.
func fullInfo(i wire.Info) wire.Info {
	i.Flags = wire.Repeatable | wire.Head
	i.Attempt, i.Priority = 2, 1
	i.Deadline = 1700000000123456
	i.Client, i.Hops, i.Part, i.Slot = 0xdeadbeef, 70000, 5, 4095
	i.SetField(wire.FrontName, []byte(strings.Repeat("f", wire.MaxFrontName)))
	i.SetField(wire.RequestID, []byte(strings.Repeat("r", wire.MaxRequestID)))
	i.SetField(wire.TraceContext, make([]byte, 26))
	i.SetField(wire.Visits, make([]byte, 64))
	i.SetField(wire.Trail, make([]byte, 32))
	return i
}

// dump gives bytes as lines of up to 16, with their offsets.
func dump(b []byte) string {
	var s strings.Builder
	for at := 0; at < len(b); at += 16 {
		line := b[at:min(at+16, len(b))]
		s.WriteString(strings.TrimRight(hex.Dump(line)[10:58], " "))
		s.WriteString("\n")
	}
	return s.String()
}
