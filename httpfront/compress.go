package httpfront

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/valyala/fasthttp"
)

// Compression says which answers are compressed for clients that take it.
type Compression struct {
	// Encodings are those offered, of zstd, br and gzip, the best first: it
	// decides between those that a client likes as well. Empty: all three.
	Encodings []string
	// MinSize is the size in bytes from which on a body is worth it. Default
	// DefaultCompressMinSize.
	MinSize int
	// Types are the media types that are, like text/* or application/json. Empty:
	// text, JSON, XML, JavaScript, SVG and WebAssembly.
	Types []string
}

// DefaultCompressMinSize is the default of Compression.MinSize: below, the
// answer and its header fit one packet as they are.
const DefaultCompressMinSize = 1 << 10

// mostCompressed is the largest body that is compressed: larger ones would hold a
// core for longer than a tenth of a second.
const mostCompressed = 4 << 20

// compressors by their names. The levels are those at which speed is still that
// of the fastest, about: cores are the handlers'.
var compressors = map[string]func(dst, src []byte) []byte{
	"zstd": func(dst, src []byte) []byte {
		return fasthttp.AppendZstdBytesLevel(dst, src, fasthttp.CompressZstdBestSpeed)
	},
	"br":   func(dst, src []byte) []byte { return fasthttp.AppendBrotliBytesLevel(dst, src, 3) },
	"gzip": func(dst, src []byte) []byte { return fasthttp.AppendGzipBytesLevel(dst, src, 4) },
}

// compression is a Compression at work. At most as many answers are compressed
// at a time as there are cores, and others are sent as they are: fasthttp's
// compressors would queue them, and beyond that write nothing at all.
type compression struct {
	Compression
	plain bool // Types are the default
	slots chan struct{}
}

var defaultTypes = []string{
	"text/*", "application/json", "application/xml", "application/javascript", "application/wasm", "image/svg+xml",
}

func newCompression(c Compression) *compression {
	k := &compression{Compression: c, plain: len(c.Types) == 0, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	if len(k.Encodings) == 0 {
		k.Encodings = []string{"zstd", "br", "gzip"}
	}
	if k.plain {
		k.Types = defaultTypes
	}
	k.MinSize = orDefault(k.MinSize, DefaultCompressMinSize)
	return k
}

func (c *Compression) validate() error {
	for _, e := range c.Encodings {
		if compressors[e] == nil {
			return fmt.Errorf("%q is none of zstd, br, gzip", e)
		}
	}
	if c.MinSize < 0 {
		return errors.New("MinSize is negative")
	}
	for _, t := range c.Types {
		if kind, sub, ok := strings.Cut(t, "/"); !ok || kind == "" || sub == "" || t != strings.ToLower(t) {
			return fmt.Errorf("%q is no media type in small letters", t)
		}
	}
	return nil
}

// fits reports whether an answer may be compressed, whoever asks. size is that of
// its body.
func (k *compression) fits(r *httptext.Response, size int) bool {
	switch {
	case size < k.MinSize || size > mostCompressed:
		return false
	case r.Status == fasthttp.StatusPartialContent || r.Status == fasthttp.StatusNoContent || r.Status == fasthttp.StatusNotModified:
		return false
	case names(r.Header.Values("Cache-Control"), "no-transform"):
		return false
	}
	for _, done := range [...]string{"Content-Encoding", "Content-Range", "Content-Digest", "Digest", "Content-MD5"} {
		if r.Header.Has(done) {
			return false
		}
	}
	return k.takes(r.Header.Get("Content-Type"))
}

// takes reports whether a media type is one of Types.
func (k *compression) takes(mediaType string) bool {
	name, _, _ := strings.Cut(mediaType, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if k.plain && (strings.HasSuffix(name, "+json") || strings.HasSuffix(name, "+xml")) {
		return true
	}
	kind, _, _ := strings.Cut(name, "/")
	return name != "" && (slices.Contains(k.Types, name) || slices.Contains(k.Types, kind+"/*"))
}

// names reports whether a list that may stand in several fields has a word.
func names[T string | []byte](fields []T, word string) bool {
	for _, field := range fields {
		for element := range strings.SplitSeq(string(field), ",") {
			if strings.EqualFold(strings.TrimSpace(element), word) {
				return true
			}
		}
	}
	return false
}

// choose returns the encoding that a client with these Accept-Encoding fields
// likes best (RFC 9110, section 12.5.3); "" is none.
func (k *compression) choose(accept [][]byte) string {
	weights := make(map[string]int, 4)
	for _, field := range accept {
		for element := range bytes.SplitSeq(field, []byte(",")) {
			name, q := mediaRange(element)
			weights[strings.TrimPrefix(name, "x-")] = q
		}
	}
	best, most := "", weights["identity"] // who does not name that takes it last
	for _, e := range k.Encodings {
		q, named := weights[e]
		if !named {
			q = weights["*"]
		}
		if q > most || best == "" && q > 0 && q == most {
			best, most = e, q
		}
	}
	return best
}

// compress returns r compressed, if it may be and the client takes it. r itself
// stays as it is.
func (x *exchange) compress(r *httptext.Response) *httptext.Response {
	k := x.front.compression
	size := len(r.Body)
	if x.head {
		size = r.Announced()
	}
	if k == nil || !k.fits(r, size) {
		return r
	}
	h := &x.ctx.Request.Header
	if names(h.PeekAll(fasthttp.HeaderCacheControl), "no-transform") {
		return r
	}
	c := *r
	c.Header = slices.Clone(r.Header)
	addVary(&c.Header, "Accept-Encoding")
	encoding := k.choose(h.PeekAll(fasthttp.HeaderAcceptEncoding))
	if encoding == "" {
		return &c
	}
	// What is sent next time may be other bytes: compared weakly they are the same.
	if tag := c.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		c.Header.Set("ETag", "W/"+tag)
	}
	if x.head {
		c.Header.Add("Content-Encoding", encoding)
		c.Unsize()
		return &c
	}
	if body := k.run(encoding, r.Body); body != nil {
		c.Body = body
		c.Header.Add("Content-Encoding", encoding)
	}
	return &c
}

// run returns body in the encoding, or nil: it would not be smaller, or all cores
// compress already.
func (k *compression) run(encoding string, body []byte) []byte {
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	default:
		return nil
	}
	out := compressors[encoding](make([]byte, 0, len(body)/3), body)
	if len(out) == 0 || len(out) >= len(body) {
		return nil
	}
	return out
}
