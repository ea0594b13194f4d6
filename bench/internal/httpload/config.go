// Package httpload sends one HTTP/1.1 request over and over through many
// keep-alive connections and measures how the answers come.
//
// It is made to be cheap, since it runs on the cores of the server it
// measures: the request is rendered once, an answer is parsed in place, and a
// turn costs one write and one read (see link).
package httpload

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config describes one run. Validate says what is wrong with it.
type Config struct {
	// URL is where to send the requests: http only.
	URL string
	// Method of the requests; GET if empty.
	Method string
	// Body of the requests; without one no Content-Length is sent, except
	// for the methods that promise a body.
	Body []byte
	// Header holds further lines, each 'Name: value'. A Host replaces the URL's.
	Header []string
	// Expect is the body that every answer must have; nil accepts any.
	Expect []byte
	// OnlyGood says that Expect is the body of answers with status 200 only; others
	// may have any.
	OnlyGood bool
	// Connections is how many connections are kept open, each with one request
	// under way at most.
	Connections int
	// Duration of the measured part. Exactly one of Duration and Requests is set.
	Duration time.Duration
	// Requests is how many requests to measure.
	Requests int64
	// Warmup comes first; what is sent in it is not counted.
	Warmup time.Duration
	// Rate in requests a second makes an open loop: requests are due on a
	// fixed schedule whether or not earlier ones were answered, and a latency
	// starts when its request was due. Zero is the closed loop, in which every
	// connection sends as soon as it has its answer.
	Rate float64
	// Random makes an open loop's gaps random: exponential ones of the mean that
	// Rate gives, as of many clients that know nothing of each other. Evenly
	// spaced requests never meet by chance.
	Random bool
	// Seed chooses the random schedule; the same one makes the same again.
	Seed uint64
	// Timeout of a request, connecting included. A request is given up at
	// most a quarter later than this.
	Timeout time.Duration
}

// What makes a Config unusable; Validate wraps them with the details.
var (
	ErrURL     = errors.New("the URL must be http://HOST[:PORT][/PATH]")
	ErrHeader  = errors.New("a header must be one line 'Name: value'")
	ErrMethod  = errors.New("the method must be a token")
	ErrBounds  = errors.New("give either a duration or a number of requests")
	ErrNumbers = errors.New("out of range")
	ErrRandom  = errors.New("random gaps need a rate")
)

// Validate reports every problem at once.
func (c *Config) Validate() error {
	var problems []error
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" || u.Hostname() == "" {
		problems = append(problems, fmt.Errorf("%w, not %q", ErrURL, c.URL))
	}
	if !token(c.Method) && c.Method != "" {
		problems = append(problems, fmt.Errorf("%w, not %q", ErrMethod, c.Method))
	}
	for _, line := range c.Header {
		if name, _, found := strings.Cut(line, ":"); !found || !token(name) || strings.ContainsAny(line, "\r\n") {
			problems = append(problems, fmt.Errorf("%w, not %q", ErrHeader, line))
		}
	}
	if (c.Duration > 0) == (c.Requests > 0) {
		problems = append(problems, ErrBounds)
	}
	if c.Random && c.Rate == 0 {
		problems = append(problems, ErrRandom)
	}
	return errors.Join(append(problems, c.validateNumbers()...)...)
}

func (c *Config) validateNumbers() (problems []error) {
	for _, n := range []struct {
		what string
		bad  bool
		got  any
	}{
		{"connections must be at least 1", c.Connections < 1, c.Connections},
		{"the duration must not be negative", c.Duration < 0, c.Duration},
		{"the number of requests must not be negative", c.Requests < 0, c.Requests},
		{"the warm-up must not be negative", c.Warmup < 0, c.Warmup},
		{"the rate must be from 0 to 1e9 a second", !(c.Rate >= 0 && c.Rate <= 1e9), c.Rate},
		{"the timeout must be positive", c.Timeout <= 0, c.Timeout},
	} {
		if n.bad {
			problems = append(problems, fmt.Errorf("%w: %s, not %v", ErrNumbers, n.what, n.got))
		}
	}
	return problems
}

// token reports whether s is an HTTP token (RFC 9110, 5.6.2).
func token(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789"+
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
