package httpfront

import (
	"slices"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
)

// send fills in the answer, with what the front adds to it. The error is that of
// an answer that cannot travel, in whose place a plain 500 was put.
func (x *exchange) send(r *httptext.Response) error {
	return x.compress(x.dress(r)).WriteTo(&x.ctx.Response, x.head)
}

// dress returns r with what the front adds to every answer. r itself stays as
// it is: handlers that answer with the same response again and again get away
// with it.
func (x *exchange) dress(r *httptext.Response) *httptext.Response {
	if x.named == "" && x.cors == nil {
		return r
	}
	dressed := *r
	dressed.Header = slices.Clone(r.Header)
	if x.named != "" {
		dressed.Header.Set(x.front.cfg.RequestIDHeader, x.named)
	}
	if x.cors != nil {
		x.cors.dress(&dressed.Header, x.ctx.Request.Header.Peek("Origin"), x.asks)
	}
	return &dressed
}
