package transport

import (
	"encoding/binary"
	"fmt"

	"github.com/go-zeromq/zmq4"
)

const (
	ttlSize    = 2  // bytes of the TTL that starts a PING's body
	maxContext = 16 // bytes of a PING's context that are sent back, as libzmq does
)

// pong is the context of a PING that waits for its answer: a value, so that a
// peer's PINGs cost no memory.
type pong struct {
	context [maxContext]byte
	length  int
}

// splitCommand takes a command's body apart: the name's length, the name, data.
func splitCommand(b []byte) (name string, data []byte, err error) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return "", nil, &ProtocolError{"a command shorter than its name"}
	}
	end := 1 + int(b[0])
	return string(b[1:end]), b[end:], nil
}

// parsePing returns the answer that a PING's data asks for.
func parsePing(data []byte) (pong, error) {
	if len(data) < ttlSize {
		return pong{}, &ProtocolError{"a PING without TTL"}
	}
	var p pong
	p.length = copy(p.context[:], data[ttlSize:])
	return p, nil
}

// pingBody returns the data of our PING: a TTL in tenths of a second and no
// context, as nothing hangs on which PING an answer belongs to.
func pingBody(ttl uint16) []byte {
	return binary.BigEndian.AppendUint16(nil, ttl)
}

// peerError makes an error of the reason in a peer's ERROR command.
func peerError(data []byte) error {
	reason := data
	if len(data) > 0 && int(data[0]) <= len(data)-1 {
		reason = data[1 : 1+int(data[0])]
	}
	return &ProtocolError{fmt.Sprintf("the peer says ERROR %.255q", reason)}
}

// judgeCommand judges a command that came after the handshake, and returns the
// answer to a PING. Commands that we do not know are ignored.
func judgeCommand(b []byte) (answer pong, isPing bool, err error) {
	name, data, err := splitCommand(b)
	if err != nil {
		return pong{}, false, err
	}
	switch name {
	case zmq4.CmdPing:
		answer, err = parsePing(data)
		return answer, err == nil, err
	case zmq4.CmdError:
		return pong{}, false, peerError(data)
	}
	return pong{}, false, nil
}
