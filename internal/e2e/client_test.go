//go:build linux

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answerLimit is how long an answer may take that nothing holds up.
const answerLimit = 8 * time.Second

// answer is what came back, read strictly.
type answer struct {
	status  int
	version string
	header  http.Header
	body    string
	closes  bool // it announces that the connection ends
}

// link is one connection to a front.
type link struct {
	net.Conn
	reader *bufio.Reader
}

func dial(addr string) (*link, error) {
	c, err := net.DialTimeout("tcp", addr, answerLimit)
	if err != nil {
		return nil, err
	}
	return &link{c, bufio.NewReader(c)}, nil
}

func connect(t *testing.T, addr string) *link {
	t.Helper()
	l, err := dial(addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// send writes a request's text, in which lines end with \n only.
func (l *link) send(text string) error {
	head, body, _ := strings.Cut(text, "\n\n")
	_, err := io.WriteString(l, strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body)
	return err
}

// receive reads one answer to a method.
func (l *link) receive(method string, limit time.Duration) (*answer, error) {
	if err := l.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	r, err := http.ReadResponse(l.reader, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	return &answer{r.StatusCode, r.Proto, r.Header, string(body), r.Close}, err
}

// ask sends a request and reads its answer.
func (l *link) ask(text string) (*answer, error) {
	if err := l.send(text); err != nil {
		return nil, err
	}
	method, _, _ := strings.Cut(text, " ")
	return l.receive(method, answerLimit)
}

// closed reports whether the front closes the connection now.
func (l *link) closed() bool {
	_ = l.SetReadDeadline(time.Now().Add(answerLimit))
	_, err := l.reader.ReadByte()
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

func post(body string) string {
	return fmt.Sprintf("POST /some/path HTTP/1.1\nHost: x\nContent-Length: %d\n\n%s", len(body), body)
}

func isPrime(number string) string {
	return "GET /is_prime?possible_prime=" + number + " HTTP/1.1\nHost: x\n\n"
}

// once asks on a connection of its own.
func once(addr, text string) (*answer, error) {
	l, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	return l.ask(text)
}

// wants asks on a connection of its own and compares.
func wants(t *testing.T, addr, text string, status int, body string) {
	t.Helper()
	a, err := once(addr, text)
	line, _, _ := strings.Cut(text, "\n")
	require.NoError(t, err, line)
	assert.Equal(t, status, a.status, line)
	assertBody(t, body, a.body, line)
}

// assertBody compares without printing megabytes.
func assertBody(t *testing.T, want, got, what string) {
	t.Helper()
	if want != got {
		t.Errorf("%s: a body of %d bytes %.80q, want %d bytes %.80q", what, len(got), got, len(want), want)
	}
}

// eventually polls until condition holds: for what nothing tells.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(patience); !condition(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// serves waits until a request gets the answer that it should: what was
// refused or cut off before does not count.
func serves(t *testing.T, addr, text, body string) {
	t.Helper()
	eventually(t, "an answer from "+addr, func() bool {
		a, err := once(addr, text)
		return err == nil && a.status == 200 && a.body == body
	})
}

// ready waits for a front of ours to say that it is ready.
func ready(t *testing.T, f *front) {
	t.Helper()
	eventually(t, f.name+" ready", func() bool {
		a, err := once(f.addr, "GET /readyz HTTP/1.1\nHost: x\n\n")
		return err == nil && a.status == 200
	})
}
