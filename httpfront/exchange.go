package httpfront

import (
	"cmp"
	"errors"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/spool"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"
)

// exchange is one request and its answer, on the goroutine of its connection.
type exchange struct {
	front *Front
	ctx   *fasthttp.RequestCtx
	conn  *conn
	head  bool
	began time.Time // zero: the request could not be read
	key   wire.Key  // of the pending request, once there is one
	to    *Served   // counts the answer; nil: nobody does

	asker  netip.Addr  // for whom the request is made; zero: the peer, or nobody knows
	cors   *CORSPolicy // nil: nothing is said of pages of other origins
	asks   bool        // it is a preflight
	named  string      // its id, where ids are taken over or told; ""
	client uint32      // by which the stages tell the client from others
	lane   *Lane       // that it is in; nil: none
	stay   stay        // there

	parsed   bool            // the head is a good one
	unread   bool            // nobody knows what follows on the connection
	received bool            // a body, which may have taken long
	coming   httptext.Coming // the body that has not been read
	counted  int64           // bytes of the body in front.receiving

	spooled *spool.File // the body, where it is in a file

	streams bool // the answer comes in parts, which see to its end themselves
}

// handle is fasthttp's handler.
func (f *Front) handle(ctx *fasthttp.RequestCtx) {
	x := exchange{
		cors:  f.cfg.CORS,
		front: f, ctx: ctx, conn: ctx.Conn().(*conn), head: ctx.IsHead(), began: ctx.Time(),
		to: f.cfg.Own, unread: true,
	}
	defer x.end()
	if err := x.serve(); err != nil {
		x.refuse(err)
	}
}

// end turns a panic into a 500 and does what every answer needs.
func (x *exchange) end() {
	if p := recover(); p != nil {
		x.conn.settled()
		x.leave(dropped)
		x.front.log.Error("request handling panicked", "request_id", x.id(), "panic", p, "stack", string(debug.Stack()))
		x.ctx.Response.Reset()
		x.refuse(&internalError{p})
	}
	if !x.streams {
		x.unspool()
	}
	if x.unread || !x.skip() {
		x.hurry()
	}
	if x.front.draining.Load() || x.conn.asked == uint64(x.front.cfg.MaxRequestsPerConn) {
		x.hurry()
	}
	if !x.streams {
		x.note(len(x.ctx.Response.Body()))
	}
}

// serve answers the request. It returns an error if the client has not been
// answered yet.
func (x *exchange) serve() error {
	if !x.conn.begun || !x.conn.head.done {
		return errOverread
	}
	req, coming, err := x.edge().FromFastHTTP(&x.ctx.Request.Header, len(x.conn.buf))
	if err != nil {
		return err
	}
	x.parsed, x.unread, x.coming = true, false, coming
	if x.health() {
		return nil
	}
	if req.Method == "OPTIONS" {
		if done, err := x.preflight(req); done {
			return err
		}
	}
	route, err := x.choose(req)
	if err != nil {
		return err
	}
	if coming.Any() {
		if err := x.receive(req, &route); err != nil {
			if disk := (*diskError)(nil); errors.As(err, &disk) {
				x.front.refused.note(x, "body not spooled", disk.cause)
			}
			return err
		}
	}
	return x.run(req, &route)
}

// choose decides where a request goes whose body is still to come.
func (x *exchange) choose(req *httptext.Request) (Route, error) {
	if !implemented(req.Method) {
		if req.Method == "CONNECT" { // what follows may be meant for somebody else
			x.hurry()
		}
		return Route{}, errMethod
	}
	if len(req.Target) > x.front.cfg.MaxTarget {
		return Route{}, errTarget
	}
	route, err := x.route(req)
	if err == nil {
		x.to = route.Served
		x.cors = cmp.Or(route.CORS, x.cors)
	}
	if err == nil && route.Compat && req.Method == "PATCH" { // it aborts prime_server's workers
		err = errMethod
	}
	return route, err
}

// run sends the request through the pipeline.
func (x *exchange) run(req *httptext.Request, route *Route) error {
	if route.Compat {
		req.DropEmptyFields()
	}
	p, err := x.open(req, route)
	if err != nil {
		return err
	}
	answer, err := x.ask(p, req, route)
	if p.Stream() != nil {
		return x.stream(p, answer.Payload)
	}
	p.Release()
	if errors.Is(err, loopback.ErrGone) {
		x.hangUp()
		return nil
	}
	if err != nil {
		return err
	}
	return x.answer(answer.Payload)
}

// implemented reports whether requests with the method are served.
func implemented(method string) bool {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}

func (x *exchange) route(req *httptext.Request) (Route, error) {
	if x.front.cfg.Route == nil {
		return Route{Stage: x.front.cfg.Stage, Compat: x.front.cfg.Compat(), Served: x.front.cfg.Served, Lane: x.front.cfg.Lane}, nil
	}
	route, err := x.front.cfg.Route(req)
	if err != nil && !errors.As(err, new(*StatusError)) {
		x.front.log.Error("routing failed", "request_id", x.id(), "err", err)
		err = &internalError{err}
	}
	return route, err
}

// ask submits the job and waits for its answer, or for the first part of it. The
// request belongs to the stage from then on. An answer that comes in parts can
// still be abandoned by the connection.
func (x *exchange) ask(p *loopback.Pending, req *httptext.Request, route *Route) (loopback.Answer, error) {
	info := p.Info()
	info.Version = uint8(req.Minor)
	info.KeepAlive, info.Close = req.Connection()
	info.Client = x.client
	x.tell(info)
	info.Priority = route.Priority
	if x.head {
		info.Flags |= wire.Head
	}
	if route.Repeat == RepeatAlways || route.Repeat == RepeatSafe && safe(req.Method) {
		info.Flags |= wire.Repeatable
	}
	job := &loopback.Job{Info: *info, Payload: req, Size: req.Size()}
	x.conn.await(p)
	if x.turn(p) {
		x.leave(dropped)
		x.conn.settled()
		return p.Result()
	}
	if err := route.Stage.Submit(job, nil); err != nil {
		x.front.refused.note(x, "job not submitted", err)
		p.Fail(&submitError{err})
	}
	answer, err := p.Wait()
	x.leave(outcomeOf(&answer, err))
	if p.Stream() == nil {
		x.conn.settled()
	}
	return answer, err
}

// refused logs what a stage, or the disk, does not take, once a second: that happens
// under load, and then to every request.
type refused struct {
	often rate.Sometimes
	jobs  atomic.Uint64 // since the last line
	all   atomic.Uint64
}

func (r *refused) note(x *exchange, what string, err error) {
	r.jobs.Add(1)
	r.all.Add(1)
	r.often.Do(func() {
		x.front.log.Warn(what, "request_id", x.id(), "err", err, "jobs", r.jobs.Swap(0))
	})
}

// safe reports whether the method is safe (RFC 9110, section 9.2.1), so that
// its job may be repeated.
func safe(method string) bool {
	return method == "GET" || method == "HEAD" || method == "OPTIONS"
}

// answer writes what a stage answered.
func (x *exchange) answer(payload wire.Payload) error {
	r, typed := payload.(*httptext.Response)
	if !typed {
		text := last(payload)
		if len(text) == 0 { // as prime_server does
			x.hangUp()
			return nil
		}
		parse := httptext.ParseResponse
		if x.head {
			parse = httptext.ParseHeadResponse
		}
		var err error
		if r, err = parse(text); err != nil {
			x.front.log.Warn("answer is no HTTP response", "request_id", x.id(), "err", err)
			return &answerError{err}
		}
	}
	if r.Failed() {
		r = x.failure(r)
	}
	if err := x.send(r); err != nil {
		// send has put a plain 500 in the answer's place.
		x.front.log.Error("answer cannot be sent", "request_id", x.id(), "err", err)
	}
	return nil
}

// failure returns an error of the pipeline's as the client wants it.
func (x *exchange) failure(r *httptext.Response) *httptext.Response {
	message, _, ours := strings.Cut(string(r.Body), " (request ")
	if message == "" { // as text, the answer to a HEAD
		message = fasthttp.StatusMessage(r.Status)
	}
	told := x.told(r.Status, message, !ours)
	if r.Status == fasthttp.StatusServiceUnavailable {
		after, said := r.Header.Lookup("Retry-After")
		if !said {
			after = httptext.RetryAfter(0)
		}
		told.Header.Add("Retry-After", after)
	}
	return told
}

// last returns the frame that holds the answer, as prime_server's front does.
func last(payload wire.Payload) []byte {
	if payload == nil {
		return nil
	}
	frames := payload.Frames()
	if len(frames) == 0 {
		return nil
	}
	return frames[len(frames)-1]
}

// statusHungUp is what the access log shows for a request without an answer.
const statusHungUp = 499

// hangUp closes the connection without an answer.
func (x *exchange) hangUp() {
	x.conn.mute = true
	x.ctx.SetConnectionClose()
	x.ctx.SetStatusCode(statusHungUp)
}

// id returns the request's id, as logs and error bodies show it: the key of its
// job, unless ids are taken over or told. Before it was registered it has one of
// its connection's number and its place there, which is not fasthttp's: that has
// none for a request that could not be read.
func (x *exchange) id() string { return string(x.appendID(nil)) }

// appendID writes a key as its String does, without allocating.
func (x *exchange) appendID(dst []byte) []byte {
	if x.named != "" {
		return append(dst, x.named...)
	}
	if x.key == (wire.Key{}) {
		dst = appendHex(dst, x.front.cfg.Table.Instance(), 16)
		dst = append(dst, '-')
		dst = appendHex(dst, x.conn.number, 8)
		dst = append(dst, '-')
		return appendHex(dst, x.conn.asked, 8)
	}
	dst = appendHex(dst, x.key.Instance, 16)
	dst = append(dst, '-')
	dst = appendHex(dst, uint64(x.key.ID), 8)
	dst = append(dst, '-')
	return appendHex(dst, uint64(x.key.Time), 8)
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for i := 4 * (digits - 1); i >= 0; i -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>i&15])
	}
	return dst
}
