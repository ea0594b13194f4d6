package httptext

import (
	"slices"
	"strconv"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/valyala/fasthttp"
)

// Response is an HTTP response. Whoever hands it on gives it away.
//
// Content-Length is always our own, and hop-by-hop fields in Header are
// ignored: the connection to the client is the front's.
type Response struct {
	// Status is the status code; 0 is 200. Interim ones (1xx) are not sent
	// this way.
	Status int
	Header Header
	// Body is the body without any transfer coding. In answer to HEAD it is
	// left out on the way to the client, who sees its length only.
	Body []byte

	unsized bool // the answer to a HEAD that does not say how long the body is
	failed  bool // an error of the pipeline's
}

// NewText returns a response of plain text.
func NewText(status int, body string) *Response {
	return &Response{
		Status: status,
		Header: Header{{"Content-Type", "text/plain; charset=utf-8"}},
		Body:   []byte(body),
	}
}

// NewError returns what a client is told of an error, in plain text. A butterfly
// front puts it in the form that the client asked for.
func NewError(status int, reason string) *Response {
	r := NewText(status, reason)
	r.failed = true
	return r
}

// Failed reports whether the response came from NewError, here or in another
// process.
func (r *Response) Failed() bool { return r.failed }

// Check returns a *FieldError for a part that cannot travel. Such a response
// is never sent, nor silently mended: Frames, Render and WriteTo put a plain
// 500 in its place. Check first to be able to say why.
func (r *Response) Check() error {
	if s := r.status(); s < 200 || s > 999 {
		return &FieldError{"status", strconv.Itoa(s) + " is no final status code"}
	}
	return r.Header.check()
}

// Frames returns the response as one frame of HTTP/1.1 text, as a butterfly
// front wants it. It implements wire.Payload.
func (r *Response) Frames() [][]byte {
	r = r.orInternal()
	return [][]byte{r.append(r.grow(), 1, "", false, r.failed)}
}

// Render returns the response as a prime_server front wants it, which writes
// the text to the client as it is: with the version and Connection that the
// job's info frame asks for, and for head without the body. It sets the
// response code in info.
func (r *Response) Render(info *wire.Info, head bool) []byte {
	r = r.orInternal()
	info.Code = uint16(r.status())
	minor, conn := 1, ""
	if info.Version == 0 {
		minor = 0
	}
	switch { // both bits: the ancestor's first insertion wins
	case info.KeepAlive:
		conn = "Keep-Alive"
	case info.Close:
		conn = "Close"
	}
	return r.append(r.grow(), minor, conn, head, r.failed && info.Key().Instance != 0)
}

// RefusalText returns NewRefusal's response, rendered as Render does; the info
// frame says if it answers HEAD.
func RefusalText(info *wire.Info, status int, reason string, wait time.Duration) []byte {
	return NewRefusal(status, reason, wait).Render(info, info.Extended && info.Flags.Has(wire.Head))
}

func (r *Response) status() int {
	if r.Status == 0 {
		return fasthttp.StatusOK
	}
	return r.Status
}

// orInternal returns r, or what is sent if r cannot be.
func (r *Response) orInternal() *Response {
	if r.Check() == nil {
		return r
	}
	return NewText(fasthttp.StatusInternalServerError, "internal error")
}

func (r *Response) grow() []byte {
	n := len(r.Body) + 128
	for i := range r.Header {
		n += len(r.Header[i].Name) + len(r.Header[i].Value) + len(": \r\n")
	}
	return slices.Grow([]byte(nil), n)
}

func (r *Response) append(dst []byte, minor int, conn string, head, failed bool) []byte {
	dst = append(dst, "HTTP/1."...)
	dst = append(dst, '0'+byte(minor), ' ')
	dst = strconv.AppendInt(dst, int64(r.status()), 10)
	dst = append(dst, ' ')
	dst = append(dst, fasthttp.StatusMessage(r.status())...)
	dst = append(dst, "\r\n"...)
	for _, f := range r.Header {
		if kindOf(f.Name).travels() {
			dst = appendField(dst, f.Name, f.Value)
		}
	}
	if failed {
		dst = appendField(dst, failureField, "yes")
	}
	if conn != "" {
		dst = appendField(dst, "Connection", conn)
	}
	if !bodiless(r.status()) {
		dst = appendLength(dst, int64(r.announced(head)))
	}
	dst = append(dst, "\r\n"...)
	if head || bodiless(r.status()) {
		return dst
	}
	return append(dst, r.Body...)
}

// announced returns the Content-Length. In answer to HEAD a handler may give
// the length without the body (RFC 9110, section 8.6).
func (r *Response) announced(head bool) int {
	if head && len(r.Body) == 0 {
		if n, err := parseLength(bytesOf(r.Header.Get("Content-Length"))); err == nil {
			return int(n)
		}
	}
	return len(r.Body)
}

// Announced returns the Content-Length of the answer to a HEAD.
func (r *Response) Announced() int { return r.announced(true) }

// Unsize makes r the answer to a HEAD that does not say how long the body is.
func (r *Response) Unsize() { r.Body, r.unsized = nil, true }

// bodiless reports whether the status has neither body nor length (RFC 9110,
// section 6.4.1).
func bodiless(status int) bool {
	return status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
}

// WriteTo fills in the response that fasthttp sends; it keeps the body. Where
// Check objects it fills in a plain 500 and returns Check's error.
func (r *Response) WriteTo(to *fasthttp.Response, head bool) error {
	err := r.Check()
	if err != nil {
		r = r.orInternal()
	}
	to.SetStatusCode(r.status())
	to.Header.DisableNormalizing() // names travel as the handler wrote them
	for i := range r.Header {
		if f := &r.Header[i]; kindOf(f.Name).travels() {
			to.Header.Add(f.Name, f.Value)
		}
	}
	if head && len(r.Body) == 0 {
		to.SkipBody = true
		if !r.unsized {
			to.Header.SetContentLength(r.announced(head))
		}
	}
	to.SetBodyRaw(r.Body)
	return err
}
