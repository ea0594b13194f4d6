package httptext

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"regexp"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/valyala/fasthttp"
)

// Whatever parses can be written again, and then says the same.
func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST %2Fp%3F%2Fp%3D HTTP/1.0\nConnection: close, X\nX: 1\nContent-Length: 3\n\nabc",
		"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRequest(text)
		if err != nil {
			return
		}
		r.Query("b")
		if len(r.Path()) > len(r.Target)+1 || r.Check() != nil {
			t.Fatalf("%q: path %q, %v", text, r.Path(), r.Check())
		}
		again, err := ParseRequest(r.append(nil))
		if err != nil {
			t.Fatalf("%q became %q: %v", text, r.append(nil), err)
		}
		if r.Method != again.Method || r.Path() != again.Path() || !bytes.Equal(r.Body, again.Body) ||
			len(r.Header()) != len(again.Header()) {
			t.Fatalf("%q became %q", text, again.Frames()[0])
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n17",
		"HTTP/1.0 404\nConnection: X\nX: y\n\nrest",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, head bool) {
		r, err := parseResponse(text, head)
		if err != nil {
			return
		}
		rendered := r.Render(&wire.Info{Version: 1}, head)
		again, err := parseResponse(rendered, head)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, rendered, err)
		}
		if r.Status != again.Status || !bytes.Equal(r.Body, again.Body) && !head {
			t.Fatalf("%q became %q", text, rendered)
		}
	})
}

// What begins a stream is read back as it was written, and never says how long
// its body is.
func FuzzParseOpening(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nX: y\r\n\r\nfirst",
		"HTTP/1.0 404\nConnection: X\nX: y\n\nrest",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n17",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ParseOpening(text)
		if err != nil {
			return
		}
		for _, rendered := range [][]byte{o.Frames()[0], append(o.AppendClosing(nil), o.Body...)} {
			again, err := ParseOpening(rendered)
			if err != nil {
				t.Fatalf("%q became %q: %v", text, rendered, err)
			}
			if o.Status != again.Status || !bytes.Equal(o.Body, again.Body) || len(o.Header) != len(again.Header) {
				t.Fatalf("%q became %q", text, rendered)
			}
		}
	})
}

// What fasthttp takes and we take is text that we, and a strict reader, read
// as the one request that it is. Where fasthttp reads a body too, it is ours.
func FuzzFromFastHTTP(f *testing.F) {
	for _, s := range []string{
		"GET /a%2Fb?c=%26+d HTTP/1.1\r\nhOST: h\r\nX-A:1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\nConnection: A\r\n\r\n",
		"PUT http://a/ HTTP/1.0\r\nHost: b\r\nContent-Length: 3\r\nExpect: x\r\n\r\nabcd",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var h fasthttp.RequestHeader
		br := bufio.NewReader(bytes.NewReader(in))
		if h.Read(br) != nil {
			return
		}
		r, c, err := FromFastHTTP(&h, len(in)%7)
		if err != nil || c.Length > 1<<16 {
			return
		}
		if c.Any() {
			if receive(r, c, br) != nil {
				return
			}
			var theirs fasthttp.Request
			if err := theirs.ReadLimitBody(bufio.NewReader(bytes.NewReader(in)), 1<<16); err == nil && !c.Continue && !bytes.Equal(theirs.Body(), r.Body) {
				t.Fatalf("%q has the body %q, and %q to fasthttp", in, r.Body, theirs.Body())
			}
		}
		text := r.Frames()[0]
		again, err := ParseRequest(text)
		if err != nil {
			t.Fatalf("%q became %q: %v", in, text, err)
		}
		if again.Method != r.Method || !bytes.Equal(again.Body, r.Body) || len(again.Header()) != len(r.Header()) {
			t.Fatalf("%q became %q", in, text)
		}
	})
}

// Chunks reads the same however the bytes are cut, and what it takes net/http
// takes, to the same body and end.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5;a=b;c=\"d\\\"e\" ; f\r\nhello\r\n00\r\nA: b\r\n\r\nGET", "fffffffffffffff\r\nx", "5 \r\nhello\r\n", "1\r\na\n0\r\n\n",
		"5 \t;a=b\r\nhello\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		whole, end, err := decode(in, len(in)+1)
		parts, partsEnd, partsErr := decode(in, 1+int(piece))
		if !bytes.Equal(whole, parts) || end != partsEnd || (err == nil) != (partsErr == nil) {
			t.Fatalf("%q: %q to %d, %v; in pieces of %d: %q to %d, %v", in, whole, end, err, piece, parts, partsEnd, partsErr)
		}
		if err != nil || end == 0 {
			return
		}
		if blankBeforeExtension.Match(in) { // RFC 9112, section 7.1.1 allows it, and net/http does not
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in)))
		if err != nil || !bytes.Equal(theirs, whole) {
			t.Fatalf("%q: %q here, %q, %v to net/http", in, whole, theirs, err)
		}
	})
}

var blankBeforeExtension = regexp.MustCompile("[0-9a-fA-F][ \t]+;")

// decode reads a chunked body in pieces, and returns where it ends: 0, if in
// does before.
func decode(in []byte, piece int) (body []byte, end int, err error) {
	c := Chunks{MaxExtra: 100}
	at := 0
	for at < len(in) && !c.Done() {
		part := in[at:min(at+piece, len(in))]
		n, err := c.Next(part)
		at += n
		if err != nil {
			return nil, 0, err
		}
		data := part[n:][:min(int64(len(part)-n), c.Left())]
		body = append(body, data...)
		at += len(data)
		if len(data) > 0 {
			c.Took(len(data))
		}
	}
	if !c.Done() {
		return nil, 0, nil
	}
	return body, at, nil
}
