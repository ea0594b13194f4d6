package httpfront

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/valyala/fasthttp"
)

const problemType = "application/problem+json"

// problem is an error as RFC 9457 has it. The type is about:blank: the status
// says it all.
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
}

// told returns the response that tells the client of an error, in the form that
// it prefers: plain text, with the request's id behind the message unless those
// are a handler's own words, or a problem document.
func (x *exchange) told(status int, message string, own bool) *httptext.Response {
	id := x.id()
	var r *httptext.Response
	if x.parsed && prefersProblem(x.ctx.Request.Header.PeekAll(fasthttp.HeaderAccept)) {
		p := problem{fasthttp.StatusMessage(status), status, message, id}
		body, _ := json.Marshal(&p) // strings and a number
		r = &httptext.Response{Status: status, Body: body}
		r.Header.Add("Content-Type", problemType)
	} else if own {
		r = httptext.NewText(status, message)
	} else {
		r = httptext.NewText(status, message+" (request "+id+")")
	}
	r.Header.Add("Vary", "Accept")
	r.Header.Add(x.front.idHeader(), id)
	return r
}

// prefersProblem reports whether a client with these Accept fields wants errors
// as JSON rather than as plain text (RFC 9110, section 12.5.1). Without a
// preference it gets text.
func prefersProblem(accept [][]byte) bool {
	if len(accept) == 0 {
		return false
	}
	var problems, texts preference
	for _, field := range accept {
		for _, element := range bytes.Split(field, []byte(",")) {
			name, q := mediaRange(element)
			problems.note(name, q, problemType, "application/json", "application/*")
			texts.note(name, q, "text/plain", "", "text/*")
		}
	}
	if problems.q != texts.q {
		return problems.q > texts.q
	}
	return problems.q > 0 && problems.rank > texts.rank
}

// preference is how much a media type is wanted: the weight of the range that
// names it most closely.
type preference struct {
	q    int // in thousandths
	rank int // 0: not named; */*, type/*, an alias, the type itself
}

// note takes in a range with its weight.
func (p *preference) note(name string, q int, exact, alias, group string) {
	rank := 0
	switch name {
	case exact:
		rank = 4
	case alias:
		rank = 3
	case group:
		rank = 2
	case "*/*":
		rank = 1
	}
	if rank > p.rank {
		p.q, p.rank = q, rank
	}
}

// mediaRange returns a range of an Accept field, in small letters and without
// its parameters, and its weight in thousandths.
func mediaRange(element []byte) (name string, q int) {
	range_, params, _ := bytes.Cut(element, []byte(";"))
	q = 1000
	for len(params) > 0 {
		var param []byte
		param, params, _ = bytes.Cut(params, []byte(";"))
		key, value, _ := bytes.Cut(param, []byte("="))
		if bytes.EqualFold(bytes.TrimSpace(key), []byte("q")) {
			q = weight(string(bytes.TrimSpace(value)))
		}
	}
	return string(bytes.ToLower(bytes.TrimSpace(range_))), q
}

// weight reads a weight; one that is none is none at all.
func weight(s string) int {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return 0
	}
	return int(f * 1000)
}
