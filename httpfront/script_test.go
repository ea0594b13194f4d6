package httpfront

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

// script is a client's connection whose bytes are known before: they come in
// pieces, then end as the client leaves (io.EOF), or as it waits.
type script struct {
	in    []byte
	piece int
	end   error
	out   bytes.Buffer
	conn  *conn // as the front sees it
	kept  bool  // the front waited for another request at the end

	methods []string // of the requests answered
}

// stays is how the connection of a client ends that neither sends nor leaves.
var errStays error = os.ErrDeadlineExceeded

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		s.conn.mu.Lock()
		defer s.conn.mu.Unlock()
		s.kept = s.conn.idle
		return 0, s.end
	}
	n := copy(p[:min(len(p), s.piece)], s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// stand is a front that serves scripts, without sockets and goroutines. Its
// stage answers each request with the text that reached it.
type stand struct {
	*Front
	table *loopback.Table
	jobs  []string
}

func newStand(t testing.TB, cfg Config) *stand {
	t.Helper()
	table, err := loopback.NewTable(loopback.TableConfig{})
	require.NoError(t, err)
	s := &stand{table: table}
	cfg.Listen, cfg.Table, cfg.Timeout, cfg.AccessLog = "127.0.0.1:0", table, -1, io.Discard
	cfg.Stage = stage(func(j *loopback.Job) error {
		text := string(j.Payload.Frames()[0])
		s.jobs = append(s.jobs, text)
		return table.Answer(loopback.Answer{Info: j.Info, Payload: httptext.NewText(200, text)}, nil)
	})
	s.Front, err = New(cfg)
	require.NoError(t, err)
	return s
}

// play serves one connection, and returns it and what reached the stage.
func (s *stand) play(in []byte, piece int, end error) (*script, []string) {
	c := &script{in: in, piece: piece, end: end}
	c.conn = newConn(s.Front, c)
	_ = s.conns.add(c.conn)
	s.jobs = nil
	_ = s.server.ServeConn(c.conn) // the error is the client's
	c.methods = s.logged(c.conn.asksHead)
	return c, s.jobs
}

// logged takes the access log, which nobody flushes, and returns the methods of
// its lines. Of a request that could not be read it says none; such a one is
// the last.
func (s *stand) logged(asksHead bool) []string {
	var methods []string
	for _, line := range strings.Split(string(s.access.buf), "\n") {
		if _, request, ok := strings.Cut(line, `"`); ok {
			method, _, _ := strings.Cut(request, " ")
			if method == `-"` && asksHead {
				method = "HEAD"
			}
			methods = append(methods, method)
		}
	}
	s.access.buf = nil
	return methods
}
