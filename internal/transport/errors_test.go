package transport

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestErrorsSayWhatAndWhere(t *testing.T) {
	for want, err := range map[string]error{
		"transport: queue for p is full: 3 messages, 9 bytes":                     &QueueFullError{"p", 3, 9},
		"transport: frame bytes: 9 announced, at most 8 allowed":                  &LimitError{"frame bytes", 9, 8},
		"transport: protocol error: nonsense":                                     &ProtocolError{"nonsense"},
		"transport: handshake with p: EOF":                                        &HandshakeError{"p", io.EOF},
		"transport: peer is dead: nothing heard for 3s":                           &TimeoutError{"nothing heard", 3 * time.Second},
		"transport: bind ipc://x: EOF":                                            &BindError{"ipc://x", io.EOF},
		"transport: option Socket: unknown":                                       &OptionError{"Socket", "unknown"},
		`transport: endpoint "x": no transport; write tcp://host:port`:            &EndpointError{"x", "no transport", "write tcp://host:port"},
		`transport: protocol error: the peer says ERROR "no"`:                     peerError([]byte("\x02no")),
		`transport: protocol error: READY: no Socket-Type`:                        second(parseReady(nil)),
		`transport: protocol error: READY: X-Butterfly has 1 bytes`:               second(parseReady(appendProperty(nil, propertyInstance, []byte{1}))),
		`transport: protocol error: READY: a property's name is cut off or empty`: second(parseReady([]byte{9, 'x'})),
		`transport: protocol error: a PING without TTL`:                           second(parsePing(nil)),
		`transport: protocol error: reserved bits in frame flags 0x80`:            third((&scanner{}).scan([]byte{0x80, 0})),
		`transport: protocol error: a message before the handshake was over`:      third((&scanner{}).scan([]byte{0, 0})),
	} {
		assert.EqualError(t, err, want)
	}
	require.ErrorIs(t, &HandshakeError{"p", io.EOF}, io.EOF)
	require.ErrorIs(t, &BindError{"p", io.EOF}, io.EOF)
	require.False(t, errors.Is(&QueueFullError{}, ErrClosed))
}

func second[A any](_ A, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }

func TestMessagesTheWrongWayAreIgnored(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		h := record(t)
		l, _ := r.listen(Options{Socket: Push}, h)
		conn := r.shaken(Pull)
		p := await(t, h.up)
		_, err := conn.Write([]byte{0, 1, 'x'})
		require.NoError(t, err)
		require.NoError(t, p.Send(msg("y"), nil))
		require.NoError(t, p.Flush(t.Context()))
		require.NoError(t, conn.Close())
		await(t, h.down)
		assert.Empty(t, h.got)
		l.Publish(msg("z")) // nobody subscribes to a PUSH
		assert.Zero(t, l.Dropped())
	})
}
