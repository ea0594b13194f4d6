package httptext

// Inflow gathers a request's body while it comes: behind the head, in the
// buffer that is the request's text. A body whose length is known only at its
// end is gathered apart, and copied then.
type Inflow struct {
	r    *Request
	text []byte
	body int // where the body starts in text

	headAt, headEnd int // the header lines in the request's text, with the empty one
}

// Inflow returns what gathers the body of a request from FromFastHTTP. The
// request may be read meanwhile.
func (r *Request) Inflow(c Coming) Inflow {
	f := Inflow{r: r, headAt: r.bodyAt - len(r.raw), headEnd: r.bodyAt}
	if !c.Chunked {
		f.text, f.body = r.frame[0], r.bodyAt
	}
	return f
}

// Len returns how many bytes of the body are there.
func (f *Inflow) Len() int { return len(f.text) - f.body }

// Cap returns how many bytes of the body there is room for.
func (f *Inflow) Cap() int { return cap(f.text) - f.body }

// Bytes returns what of the body is there.
func (f *Inflow) Bytes() []byte { return f.text[f.body:] }

// Free returns the room that is left: what is read into it is told to Took.
func (f *Inflow) Free() []byte { return f.text[len(f.text):cap(f.text)] }

// Took says that n bytes of the body are in what was Free.
func (f *Inflow) Took(n int) { f.text = f.text[:len(f.text)+n] }

// Grow makes room for a body of n bytes in all, by copying.
func (f *Inflow) Grow(n int) {
	if n > f.Cap() {
		f.text = append(make([]byte, 0, f.body+n), f.text...)
	}
}

// Done gives the request its body. The Inflow is of no use afterwards.
func (f *Inflow) Done() {
	if f.body > 0 {
		f.done(f.text)
		return
	}
	text := f.head(len(f.text))
	text = append(appendLength(text, int64(len(f.text))), "\r\n"...)
	f.r.bodyAt = len(text)
	f.done(append(text, f.text...))
}

// Spooled says that the body is in a file of that name, and has size bytes.
func (f *Inflow) Spooled(name string, size int64) {
	text := f.head(0)
	if f.body == 0 {
		text = appendLength(text, size)
	}
	text = append(appendField(text, spoolField, name), "\r\n"...)
	f.r.bodyAt, f.r.apart = len(text), true
	f.done(text)
}

// head returns a copy of the request's head, without its end, with room for a body
// of n bytes.
func (f *Inflow) head(n int) []byte {
	const more = len("Content-Length: 9223372036854775807\r\n"+spoolField+": \r\n\r\n") + 64
	head := f.r.frame[0][:f.headEnd]
	text := make([]byte, 0, len(head)+more+n)
	return append(text, head[:len(head)-len("\r\n")]...)
}

func (f *Inflow) done(text []byte) {
	r := f.r
	r.views(text, len(r.Method)+1, len(r.Target), f.headAt)
}
