package primes

import (
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// Range is a range of numbers to test, both ends included.
type Range struct{ From, To uint64 }

// ParseRange reads "FROM,TO", or "TO" for the numbers from 3 up to it.
func ParseRange(s string) (Range, error) {
	from, to, both := strings.Cut(s, ",")
	if !both {
		from, to = "3", s
	}
	a, err := strconv.ParseUint(from, 10, 64)
	if err != nil {
		return Range{}, fmt.Errorf("%q is no number to start from: want FROM,TO or TO, each from 0 to 18446744073709551615", from)
	}
	b, err := strconv.ParseUint(to, 10, 64)
	if err != nil {
		return Range{}, fmt.Errorf("%q is no number to end with: want FROM,TO or TO, each from 0 to 18446744073709551615", to)
	}
	if b < a {
		return Range{}, fmt.Errorf("the range %d,%d is empty: it ends before it starts", a, b)
	}
	return Range{a, b}, nil
}

// Len returns how many odd numbers are in the range.
func (r Range) Len() int {
	first := r.From | 1
	if first > r.To || first < r.From {
		return 0
	}
	return int((r.To-first)/2 + 1)
}

// Requests yields a job for stage parse for each odd number of the range: the
// text of a GET request.
func (r Range) Requests() iter.Seq[[][]byte] {
	return func(yield func([][]byte) bool) {
		n := r.From | 1
		for range r.Len() {
			text := "GET /is_prime?possible_prime=" + strconv.FormatUint(n, 10) + " HTTP/1.1\r\n\r\n"
			if !yield([][]byte{[]byte(text)}) {
				return
			}
			n += 2
		}
	}
}

// Answered reports whether the answer to a request says that its number is
// prime. The error is what the pipeline answered instead.
func Answered(a pipeline.Answer) (prime bool, err error) {
	r, err := a.Response()
	if err != nil {
		return false, err
	}
	n, err := strconv.ParseUint(string(r.Body), 10, 64)
	if r.Status != 200 || err != nil {
		return false, fmt.Errorf("primes: answered %d %s", r.Status, r.Body)
	}
	return n != Composite, nil
}

// encode is how a number travels from parse to compute.
func encode(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
