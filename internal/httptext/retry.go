package httptext

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// Bounds of what clients are told to wait. Less than a second cannot be said, and
// what was measured tells little of what will be in more than some minutes.
const (
	LeastRetry = time.Second
	MostRetry  = 60 * time.Second
)

// RetryAfter returns the value of a Retry-After field (RFC 9110, section 10.2.3)
// for a refused request: wait, which is how long what is there now takes, and up
// to half as long again, so that clients that were refused together do not come
// back together; at least LeastRetry and at most MostRetry. A wait of 0 is one
// that nobody knows.
func RetryAfter(wait time.Duration) string {
	wait = min(max(wait, LeastRetry), MostRetry*2/3)
	s := wait.Seconds() * (1 + rand.Float64()/2)
	return strconv.Itoa(int(s + rand.Float64())) // whole seconds, right in the mean
}

// NewRefusal returns what NewError does, with a Retry-After field for a refusal
// that is a matter of time: those with status 503.
func NewRefusal(status int, reason string, wait time.Duration) *Response {
	r := NewError(status, reason)
	if status == fasthttp.StatusServiceUnavailable {
		r.Header.Add(fasthttp.HeaderRetryAfter, RetryAfter(wait))
	}
	return r
}
