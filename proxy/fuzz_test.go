package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// fuzzedFrames makes messages of bytes: of each frame its length and whether more
// follow, in one byte, then its bytes.
func fuzzedFrames(data []byte) (all []transport.Message) {
	var m transport.Message
	for len(data) > 0 && len(all) < 20 {
		n, more := int(data[0]>>1), data[0]&1 == 1
		n = min(n, len(data)-1)
		m = append(m, data[1:1+n])
		data = data[1+n:]
		if !more || len(data) == 0 {
			all = append(all, m)
			m = nil
		}
	}
	return all
}

// packed is the reverse of fuzzedFrames, for one message.
func packed(frames ...[]byte) []byte {
	var data []byte
	for i, f := range frames {
		head := byte(len(f) << 1)
		if i < len(frames)-1 {
			head |= 1
		}
		data = append(append(data, head), f...)
	}
	return data
}

// FuzzPeers lets peers send anything to either socket of a proxy. Nothing panics;
// when they have gone none of their slots is left, and a sound worker gets a sound
// front's job.
func FuzzPeers(f *testing.F) {
	key := wire.Key{Instance: 5, ID: 1, Time: 1000}
	beat := func(change func(*wire.Beat)) []byte {
		b := wire.Beat{Worker: 7, Done: key}
		change(&b)
		return b.AppendTo(nil)
	}
	far := butterflyInfo(2)
	far.Hops = 1 << 31
	late := butterflyInfo(3)
	late.Deadline = 1
	for _, seed := range [][]byte{
		packed(nil), packed([]byte("1234567")), packed(make([]byte, 8), []byte("x")), packed(butterflyInfo(1).AppendTo(nil)),
		packed(butterflyInfo(1).AppendTo(nil), []byte("GET / HTTP/1.1\r\n\r\n")), packed(far.AppendTo(nil), nil), packed(late.AppendTo(nil), nil),
		packed(butterflyInfo(1).AppendTo(nil)[:30], []byte("cut")), packed(nil, nil, nil), packed(nil, nil),
		packed(nil, beat(func(b *wire.Beat) { b.Slot = 65535 })), packed([]byte("app"), beat(func(b *wire.Beat) { b.Slot = 4095 })),
		packed(nil, beat(func(b *wire.Beat) { b.Withdraw = true })), packed(nil, beat(func(b *wire.Beat) { b.GivenUp = true })),
	} {
		f.Add(false, seed)
		f.Add(true, append(seed, seed...))
	}
	f.Fuzz(func(t *testing.T, down bool, data []byte) {
		r := newRig(t, "inproc", nil)
		at := r.UpstreamEndpoint()
		if down {
			at = r.DownstreamEndpoint()
		}
		stranger := r.dial(at, 9)
		messages := fuzzedFrames(data)
		for _, m := range messages {
			stranger.send(m...)
		}
		require.NoError(t, stranger.dialer.Flush(t.Context()))
		stranger.leave()
		require.Eventually(t, func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.audience.peers)+len(r.workers) == 0
		}, patience, time.Millisecond, "the stranger has gone")

		worker, front := r.worker(7), r.front(5)
		r.eventually(func(s wire.Status) bool { return s.Workers == 1 })
		good := butterflyInfo(0xfeedbeef)
		good.Time = 77
		front.submit(good, "good")
		worker.beat(0, wire.Key{})
		served := false
		r.eventually(func(s wire.Status) bool { // the stranger may have sent sound jobs, too
			select {
			case m := <-worker.got:
				if info, err := wire.ParseInfo(m[0]); err == nil && len(m) > 1 {
					served = served || info.Key() == good.Key()
					worker.beat(0, info.Key())
				}
			default:
			}
			return served && s.Slots == 1 && s.Idle == 1 && s.Queued == 0
		})
	})
}
