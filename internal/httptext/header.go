package httptext

// Field is one header field.
type Field struct{ Name, Value string }

// Header is a message's header fields in the order in which they travel. A
// name may occur more than once; names are compared without regard to case.
type Header []Field

// Get returns the first value of name, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Lookup returns the first value of name, and whether there is one.
func (h Header) Lookup(name string) (string, bool) {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return h[i].Value, true
		}
	}
	return "", false
}

// Has reports whether there is a field called name.
func (h Header) Has(name string) bool {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Values returns all values of name, in order.
func (h Header) Values(name string) []string {
	var values []string
	for i := range h {
		if equalFold(h[i].Name, name) {
			values = append(values, h[i].Value)
		}
	}
	return values
}

// Add appends a field. Nothing is checked here: a name or value that could not
// travel makes the whole message fail its Check.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Set makes value the only value of name.
func (h *Header) Set(name, value string) {
	for i := range *h {
		if equalFold((*h)[i].Name, name) {
			rest := (*h)[i+1:]
			(*h)[i].Value = value
			rest.Del(name)
			*h = (*h)[:i+1+len(rest)]
			return
		}
	}
	h.Add(name, value)
}

// Del removes all fields called name.
func (h *Header) Del(name string) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !equalFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	clear((*h)[len(kept):])
	*h = kept
}

// Check returns a *FieldError for the first field that cannot travel.
func (h Header) Check() error { return h.check() }

// check finds the first field that cannot travel.
func (h Header) check() error {
	for i := range h {
		switch {
		case !isToken(h[i].Name):
			return &FieldError{h[i].Name, "is no name of a header field"}
		case !isValue(bytesOf(h[i].Value)):
			return &FieldError{h[i].Name, "its value holds a control character"}
		}
	}
	return nil
}

// kind says what the codec does with a field.
type kind uint8

const (
	endToEnd         kind = iota
	host                  // travels, and is checked
	hop                   // for this connection only: never handed on
	connection            // hop, and names others
	contentLength         // replaced by our own
	transferEncoding      // hop, and frames the body
	expect                // hop: the front has met it
	failure               // hop: an answer is an error of the pipeline's
	apart                 // the body is in a file: ours to say, and nobody else's
)

// failureField marks what NewError made on its way to a butterfly front.
const failureField = "X-Butterfly-Error"

// spoolField names the file in which a front has put a request's body. No client
// can say it: the kind does not travel.
const spoolField = "X-Butterfly-Body"

// travels reports whether fields of the kind are handed on.
func (k kind) travels() bool { return k <= host }

// kindOf classifies a field name. Hop-by-hop are those of RFC 9110, section
// 7.6.1, with Trailer, since trailers do not travel, and Expect.
func kindOf[T string | []byte](name T) kind {
	switch len(name) {
	case 2:
		return hopIf(equalFold(name, "TE"))
	case 4:
		if equalFold(name, "Host") {
			return host
		}
	case 6:
		if equalFold(name, "Expect") {
			return expect
		}
	case 7:
		return hopIf(equalFold(name, "Trailer") || equalFold(name, "Upgrade"))
	case 10:
		if equalFold(name, "Connection") {
			return connection
		}
		return hopIf(equalFold(name, "Keep-Alive"))
	case 14:
		if equalFold(name, "Content-Length") {
			return contentLength
		}
	case 16:
		if equalFold(name, spoolField) {
			return apart
		}
		return hopIf(equalFold(name, "Proxy-Connection"))
	case 17:
		if equalFold(name, "Transfer-Encoding") {
			return transferEncoding
		}
		if equalFold(name, failureField) {
			return failure
		}
	}
	return endToEnd
}

func hopIf(is bool) kind {
	if is {
		return hop
	}
	return endToEnd
}
