package transport

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzListener throws the bytes of a whole connection at a listener: greeting,
// handshake and frames, cut anywhere. Nothing panics, nothing of it is left when it
// has ended, and the next peer is served.
func FuzzListener(f *testing.F) {
	shaken := append(greeting(), command("READY", ready{socket: "DEALER", instance: 7}.append(nil))...)
	for _, rest := range [][]byte{
		nil, {0, 2, 'h', 'i'}, {1, 1, 'a', 0, 1, 'b'}, {1, 0, 1, 0, 1}, header(0, 1<<63), header(flagMore, 1<<20), {0x80, 1, 0}, {flagCommand, 0},
		command("PING", []byte{0, 1, 2}), command("PONG", nil), command("ERROR", []byte("\xffoops")), command("SUBSCRIBE", []byte("x")),
	} {
		f.Add(append(append([]byte(nil), shaken...), rest...), uint8(len(rest)))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(3))
	f.Add([]byte{22, 3, 1, 2, 0, 1}, uint8(1))
	f.Add(greeting()[:10], uint8(200))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		r := newRig(t, "inproc")
		h := record(t)
		l, _ := r.listen(Options{Socket: Router, Limits: Limits{MaxFrame: 1 << 20}}, h)
		conn := r.raw()
		for len(data) > 0 {
			n := min(len(data), 1+int(cut))
			if _, err := conn.Write(data[:n]); err != nil {
				break // it was refused
			}
			data = data[n:]
		}
		require.NoError(t, conn.Close())
		d, _ := r.dial(Options{Socket: Dealer, Instance: 77}, nil)
		require.NoError(t, d.Send(msg("sound"), nil))
		for in := await(t, h.got); in.peer.Instance() != 77; in = await(t, h.got) {
		}
		eventually(t, func() bool {
			l.mu.Lock()
			l.gate.mu.Lock()
			l.unended.mu.Lock()
			defer l.mu.Unlock()
			defer l.gate.mu.Unlock()
			defer l.unended.mu.Unlock()
			return len(l.peers) == 1 && len(l.gate.running) == 0 && l.unended.held == 0
		}, "nothing of it is left")
	})
}
