package clients

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

// Front is a front under load.
type Front struct {
	Name    string
	Address string // host:port
	History *History
}

// conn is a client's connection.
type conn struct {
	front  *Front
	opened time.Time
	tcp    *net.TCPConn
	reader *bufio.Reader
	// closing: an answer said that it is the last.
	closing bool
}

func dial(ctx context.Context, f *Front) (*conn, error) {
	opened := time.Now() // before, for a front that ends meanwhile
	dialer := net.Dialer{Timeout: 5 * time.Second}
	c, err := dialer.DialContext(ctx, "tcp", f.Address)
	if err != nil {
		return nil, err
	}
	return &conn{front: f, opened: opened, tcp: c.(*net.TCPConn), reader: bufio.NewReader(c)}, nil
}

// send writes requests at once.
func (c *conn) send(text []byte) error {
	_ = c.tcp.SetWriteDeadline(time.Now().Add(writeWithin))
	_, err := c.tcp.Write(text)
	return err
}

// writeWithin is how long a front may take to accept requests; it is longer than
// one is stopped for.
const writeWithin = 60 * time.Second

// receive reads the answer to the exchange's request, for patience at most until
// each of its parts.
func (c *conn) receive(e *Exchange, patience func() time.Duration) {
	defer func() { e.Ended = time.Now() }()
	if c.closing {
		e.After, e.Err = true, io.EOF
		return
	}
	_ = c.tcp.SetReadDeadline(time.Now().Add(patience()))
	response, err := http.ReadResponse(c.reader, &http.Request{Method: e.Task.Method}) //nolint:bodyclose // c.body does
	if err != nil {
		e.Err, e.GaveUp = err, errors.Is(err, os.ErrDeadlineExceeded)
		return
	}
	e.Headed, e.Status = time.Now(), response.StatusCode
	c.closing = response.Close
	e.Body, e.Err = c.body(response.Body, patience)
	e.GaveUp = errors.Is(e.Err, os.ErrDeadlineExceeded)
}

// body reads an answer's body, part by part.
func (c *conn) body(from io.ReadCloser, patience func() time.Duration) (body []byte, err error) {
	defer func() { _ = from.Close() }() // it has been read
	buf := make([]byte, 16<<10)
	for {
		_ = c.tcp.SetReadDeadline(time.Now().Add(patience()))
		n, err := from.Read(buf)
		body = append(body, buf[:n]...)
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return body, err
		}
	}
}

// extra returns what has come that nobody asked for, of what is there.
func (c *conn) extra() []byte {
	_ = c.tcp.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, _ = c.reader.Peek(1) // brings what there is into the buffer
	b, _ := c.reader.Peek(c.reader.Buffered())
	return b
}

func (c *conn) close() { _ = c.tcp.Close() }

// reset ends the connection by a reset.
func (c *conn) reset() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
}

// exchange makes the exchange of a task on the connection.
func (c *conn) exchange(t *trial.Task) *Exchange {
	return &Exchange{Task: t, Front: c.front, Opened: c.opened, Began: time.Now()}
}
