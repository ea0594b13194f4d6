package httptext

// Inflow gathers a request's body while it comes: behind the head, in the
// buffer that is the request's text. A body whose length is known only at its
// end is gathered apart, and copied then.
type Inflow struct {
	r    *Request
	text []byte
	body int // where the body starts in text
}

// Inflow returns what gathers the body of a request from FromFastHTTP. The
// request may be read meanwhile.
func (r *Request) Inflow(c Coming) Inflow {
	if c.Chunked {
		return Inflow{r: r}
	}
	return Inflow{r: r, text: r.frame[0], body: r.bodyAt}
}

// Len returns how many bytes of the body are there.
func (f *Inflow) Len() int { return len(f.text) - f.body }

// Cap returns how many bytes of the body there is room for.
func (f *Inflow) Cap() int { return cap(f.text) - f.body }

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
	r, text := f.r, f.text
	head := r.bodyAt - len(r.raw)
	if f.body == 0 {
		text = make([]byte, 0, r.bodyAt+len("Content-Length: 2147483647\r\n")+len(f.text))
		text = append(text, r.frame[0][:r.bodyAt-len("\r\n")]...)
		text = append(appendLength(text, len(f.text)), "\r\n"...)
		r.bodyAt = len(text)
		text = append(text, f.text...)
	}
	r.views(text, len(r.Method)+1, len(r.Target), head)
}
