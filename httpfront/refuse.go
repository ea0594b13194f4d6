package httpfront

import (
	"bytes"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/valyala/fasthttp"
)

// refuse answers with what the table of errors says about err.
func (x *exchange) refuse(err error) {
	r := refusalOf(err)
	resp := x.told(r.status, r.message, false)
	if r.allow != "" {
		resp.Header.Add("Allow", r.allow)
	}
	if r.retry {
		resp.Header.Add("Retry-After", httptext.RetryAfter(patience(err)))
	}
	// These fields can travel.
	_ = x.send(resp)
	if r.close {
		x.hurry()
	}
}

// hurry makes this answer the connection's last, though the client may still be
// sending.
func (x *exchange) hurry() {
	x.ctx.SetConnectionClose()
	x.conn.lingers = true
}

// refuse is fasthttp's ErrorHandler, for requests that could not be read. They
// are reset: nothing but the error is known of them.
func (f *Front) refuse(ctx *fasthttp.RequestCtx, err error) {
	x := exchange{front: f, ctx: ctx, conn: ctx.Conn().(*conn), to: f.cfg.Own}
	x.refuse(err)
	ctx.Response.SkipBody = x.conn.asksHead
	x.conn.lingers = true
	x.note(len(ctx.Response.Body()))
}

// headerReceived makes fasthttp leave the body, and the leave to send it, to the
// handler. What is read of the head later is its raw text.
func headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if h.ContentLength() != noBody {
		h.SetContentLength(0)
	}
	if len(h.PeekCanonical(expectName)) > 0 {
		h.DelBytes(expectName)
	}
	return fasthttp.RequestConfig{}
}

const noBody = -2 // fasthttp's

var expectName = []byte(fasthttp.HeaderExpect)

// health answers the liveness and readiness paths, and reports whether the
// request was for one of them.
func (x *exchange) health() bool {
	path, _, _ := bytes.Cut(x.ctx.Request.Header.RequestURI(), []byte("?"))
	live := x.front.cfg.LivePath != "" && string(path) == x.front.cfg.LivePath
	ready := x.front.cfg.ReadyPath != "" && string(path) == x.front.cfg.ReadyPath
	if !live && !ready {
		return false
	}
	if !x.ctx.IsGet() && !x.head {
		x.refuse(errHealthUse)
		return true
	}
	r := httptext.NewText(fasthttp.StatusOK, "ok\n")
	if why := x.front.unready(); ready && why != "" {
		r = httptext.NewText(fasthttp.StatusServiceUnavailable, why+"\n")
		r.Header.Add("Retry-After", httptext.RetryAfter(0))
	}
	r.Header.Add("Cache-Control", "no-store")
	_ = x.send(r) // these fields can travel
	return true
}

// unready says why requests cannot be served, or nothing.
func (f *Front) unready() string {
	if f.leaving.Load() {
		return "draining"
	}
	if f.cfg.Ready != nil {
		if err := f.cfg.Ready(); err != nil {
			return err.Error()
		}
	}
	return ""
}
