package httpload

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// request is what every connection sends, rendered once.
type request struct {
	address string // host:port to dial
	text    []byte
	head    bool // the answer has no body, whatever its header says
}

// newRequest renders the request of a valid Config.
func newRequest(c *Config) (request, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return request{}, fmt.Errorf("%w: %w", ErrURL, err)
	}
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\n", method, u.RequestURI())
	if !has(c.Header, "Host") {
		fmt.Fprintf(&text, "Host: %s\r\n", u.Host)
	}
	for _, line := range c.Header {
		text.WriteString(line + "\r\n")
	}
	if sized := len(c.Body) > 0 || promisesBody(method); sized && !has(c.Header, "Content-Length") {
		fmt.Fprintf(&text, "Content-Length: %d\r\n", len(c.Body))
	}
	text.WriteString("\r\n")
	text.Write(c.Body)
	return request{address: address(u), text: text.Bytes(), head: method == http.MethodHead}, nil
}

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func promisesBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func has(header []string, name string) bool {
	for _, line := range header {
		if got, _, _ := strings.Cut(line, ":"); strings.EqualFold(got, name) {
			return true
		}
	}
	return false
}
