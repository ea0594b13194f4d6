//go:build !unix

package httpload

import "net"

// link is a plain connection here: where no read can be begun with a write, a
// turn costs one read more (compare the one for Unix).
type link struct{ guard }

func newLink(conn net.Conn) (*link, error) {
	return &link{guard{Conn: conn}}, nil
}

// Send writes b.
func (l *link) Send(b []byte) error {
	_, err := l.Write(b)
	return err
}
