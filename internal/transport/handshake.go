package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/go-zeromq/zmq4"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
)

// link is a connection whose handshake is over.
type link struct {
	conn *framedConn
	zmtp *zmq4.Conn // over conn
	peer ready
}

// shake does greeting and handshake on nc within o.HandshakeTimeout. On error it
// has closed nc; a Close of nc meanwhile ends it.
func shake(nc net.Conn, o *Options) (*link, error) {
	conn := newFramedConn(nc, o.inbound())
	l := &link{conn: conn}
	err := nc.SetDeadline(time.Now().Add(o.HandshakeTimeout))
	if err == nil {
		sec := &null{conn: conn, own: ready{socket: string(o.Socket), instance: o.Instance}, peer: &l.peer}
		l.zmtp, err = zmq4.Open(conn, sec, o.Socket.zmq(), nil, false, nil)
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = nc.Close()
		err = conn.cause(err)
		refused := errors.As(err, new(*mtls.RefusedError)) // below us, so something was said
		if !conn.heard.Load() && !refused && !errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w: %w", errSilent, err)
		}
		return nil, err
	}
	return l, nil
}

// errSilent is the end of a connection whose other side never said anything.
var errSilent = errors.New("transport: closed before the greeting")

// cause strips what zmq4 wraps around the error that made reading fail, or
// around our own.
func (c *framedConn) cause(err error) error {
	if c.failure != nil {
		return c.failure
	}
	if own, ok := errors.AsType[*ProtocolError](err); ok {
		return own
	}
	return err
}

// null is ZMTP's NULL mechanism: no authentication, no encryption. It replaces
// zmq4's own, whose READY parser panics on malformed input.
type null struct {
	conn *framedConn
	own  ready
	peer *ready
}

// Type names the mechanism in the greeting.
func (*null) Type() zmq4.SecurityType { return zmq4.NullSecurity }

// Encrypt passes data on as it is.
func (*null) Encrypt(w io.Writer, data []byte) (int, error) { return w.Write(data) }

// Decrypt passes data on as it is.
func (*null) Decrypt(w io.Writer, data []byte) (int, error) { return w.Write(data) }

// Handshake exchanges READY and leaves the peer's in n.peer.
func (n *null) Handshake(conn *zmq4.Conn, _ bool) error {
	if err := conn.SendCmd(zmq4.CmdReady, n.own.append(nil)); err != nil {
		return err
	}
	cmd, err := conn.RecvCmd()
	if err != nil {
		return err
	}
	switch cmd.Name {
	case zmq4.CmdReady:
	case zmq4.CmdError:
		return peerError(cmd.Body)
	default:
		return &ProtocolError{fmt.Sprintf("%.32q instead of READY", cmd.Name)}
	}
	if *n.peer, err = parseReady(cmd.Body); err != nil {
		return err
	}
	own := SocketType(n.own.socket)
	if !own.accepts(n.peer.socket) {
		return &ProtocolError{fmt.Sprintf("the peer is a %.32q, a %s talks to %v", n.peer.socket, own, own.compatible())}
	}
	// zmq4 checks the type once more, with a table that knows this one.
	conn.Peer.Meta[propertySocket] = n.peer.socket
	return nil
}
