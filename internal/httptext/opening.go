package httptext

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

// Opening is the first part of a response that comes in parts: its status and
// header, and as Body the first bytes of a body whose length nobody knows yet.
type Opening struct{ *Response }

// Frames returns the opening as one frame of HTTP/1.1 text without a length. It
// implements wire.Payload.
func (o *Opening) Frames() [][]byte {
	r := o.orInternal()
	return [][]byte{append(r.appendHead(r.grow(), ""), r.Body...)}
}

// appendHead appends the head without a length; conn is a Connection field, ""
// none.
func (r *Response) appendHead(dst []byte, conn string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status()), 10)
	dst = append(dst, ' ')
	dst = append(dst, fasthttp.StatusMessage(r.status())...)
	dst = append(dst, "\r\n"...)
	for _, f := range r.Header {
		if kindOf(f.Name) == endToEnd {
			dst = appendField(dst, f.Name, f.Value)
		}
	}
	if conn != "" {
		dst = appendField(dst, "Connection", conn)
	}
	return append(dst, "\r\n"...)
}

// Bodiless reports whether the status has no body.
func (o *Opening) Bodiless() bool { return bodiless(o.status()) }

// AppendClosing appends the head as it goes to a client for whom the end of the
// connection is that of the body. Where Check objects it is that of a plain 500.
func (o *Opening) AppendClosing(dst []byte) []byte { return o.orInternal().appendHead(dst, "close") }

// ParseOpening reads the first part of a stream: the head of a response, which
// must not announce a length or coding, and the first bytes of its body. The
// errors are those of ParseResponse.
func ParseOpening(text []byte) (*Opening, error) {
	b := block{text: text}
	status, err := b.statusLine()
	if err != nil {
		return nil, err
	}
	r := &Response{Status: status}
	f, err := r.readFields(&b)
	if err != nil {
		return nil, err
	}
	if f.hasLength || f.coded {
		return nil, &SyntaxError{b.at, "the head of a stream says how its body is framed"}
	}
	if b.at < len(text) {
		r.Body = text[b.at:len(text):len(text)]
	}
	return &Opening{r}, nil
}
