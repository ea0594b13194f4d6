package httpfront

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's clock for Date runs for the life of the process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its compressors', too.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp/stackless.funcWorker"))
}

// soon is the patience of tests: longer than anything takes.
const soon = 20 * time.Second

// stage is a function that is a loopback.Stage.
type stage func(*loopback.Job) error

func (s stage) Submit(job *loopback.Job, sent transport.Notifier) error {
	err := s(job)
	if err == nil && sent != nil {
		sent.Sent(nil)
	}
	return err
}

// interrupts collects the keys of interrupted jobs.
type interrupts chan wire.Key

func (i interrupts) Interrupt(k wire.Key) { i <- k }

// rig is a front that serves, with its table.
type rig struct {
	*Front
	t           testing.TB
	table       *loopback.Table
	interrupted interrupts
	stop        context.CancelFunc // the hard stop
	ran         chan error
}

// start runs a front. Its stage gets the rig, to answer.
func start(t testing.TB, cfg Config, do func(*rig, *loopback.Job) error) *rig {
	t.Helper()
	return startWith(t, cfg, loopback.TableConfig{}, do)
}

func startWith(t testing.TB, cfg Config, tc loopback.TableConfig, do func(*rig, *loopback.Job) error) *rig {
	t.Helper()
	table, err := loopback.NewTable(tc)
	require.NoError(t, err)
	r := &rig{t: t, table: table, interrupted: make(interrupts, 64), ran: make(chan error, 1)}
	table.Notify(r.interrupted)
	cfg.Listen, cfg.Table = "127.0.0.1:0", table
	if cfg.Route == nil {
		cfg.Stage = stage(func(j *loopback.Job) error { return do(r, j) })
	}
	r.Front, err = New(cfg)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	var tables sync.WaitGroup
	tables.Go(func() { _ = table.Run(ctx) })
	go func() { r.ran <- r.Run(ctx) }()
	<-r.Ready()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, wait(t, r.ran))
		tables.Wait()
	})
	return r
}

func (r *rig) reply(j *loopback.Job, p wire.Payload) {
	_ = r.table.Answer(loopback.Answer{Info: j.Info, Payload: p}, nil)
}

// echo answers with method, target and body.
func echo(r *rig, j *loopback.Job) error {
	req := j.Payload.(*httptext.Request)
	r.reply(j, httptext.NewText(200, req.Method+" "+req.Target+" "+string(req.Body)))
	return nil
}

// wait receives from c within soon.
func wait[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// client is a raw connection.
type client struct {
	*net.TCPConn
	t  testing.TB
	br *bufio.Reader
}

func (r *rig) dial() *client {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr().String())
	require.NoError(r.t, err)
	require.NoError(r.t, c.SetDeadline(time.Now().Add(soon)))
	r.t.Cleanup(func() { _ = c.Close() })
	return &client{c.(*net.TCPConn), r.t, bufio.NewReader(c)}
}

func (c *client) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c.TCPConn, text)
	require.NoError(c.t, err)
}

type reply struct {
	*http.Response
	body string
}

// read reads the answer to a request with the method.
func (c *client) read(method string) reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	require.NoError(c.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return reply{resp, string(body)}
}

// closed checks that the front ends the connection, with nothing more on it.
func (c *client) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.br)
	require.Empty(c.t, string(rest))
	if err != nil { // a reset is an end too
		require.NotErrorIs(c.t, err, net.ErrClosed)
		var timeout net.Error
		require.False(c.t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
	}
}

func get(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n" }
