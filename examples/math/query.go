package math

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline"
)

// query is what a request asks for.
type query struct {
	*pipeline.Request
	usage string // how to ask
}

// ask reads a job's request, if it has one of the methods. A HEAD is as good as
// a GET: the front leaves the body out.
func ask(job *pipeline.Job, usage string, methods ...string) (query, error) {
	r, err := job.Request()
	if err != nil {
		return query{}, err
	}
	if !slices.Contains(methods, r.Method) && (r.Method != "HEAD" || !slices.Contains(methods, "GET")) {
		return query{}, pipeline.Errorf(405, "ask by %s, not %s", strings.Join(methods, " or "), r.Method)
	}
	return query{r, usage}, nil
}

// value returns the one value of key.
func (q query) value(key string) (string, error) {
	switch values := q.QueryValues(key); len(values) {
	case 0:
		return "", pipeline.Errorf(400, "%s is missing: ask like this: %s", key, q.usage)
	case 1:
		return values[0], nil
	default:
		return "", pipeline.Errorf(400, "%s is given %d times", key, len(values))
	}
}

// number returns the number that key has.
func (q query) number(key string) (float64, error) {
	text, err := q.value(key)
	if err != nil {
		return 0, err
	}
	n, problem := parseNumber([]byte(text))
	if problem != "" {
		return 0, pipeline.Errorf(400, "%s %s%s", key, problem, q.hint(text))
	}
	return n, nil
}

// numberOr returns the number that key has, or another where it is not given.
func (q query) numberOr(key string, other float64) (float64, error) {
	if len(q.QueryValues(key)) == 0 {
		return other, nil
	}
	return q.number(key)
}

// function returns the function that f is the text of.
func (q query) function() (function, error) {
	text, err := q.value("f")
	if err != nil {
		return nil, err
	}
	f, err := parseFunction(text)
	if err != nil {
		return nil, pipeline.Errorf(400, "f: %w%s", err, q.hint(text))
	}
	return f, nil
}

// hint explains an error in a value that a + was taken out of.
func (q query) hint(value string) string {
	if strings.Contains(q.RawQuery(), "+") && strings.Contains(value, " ") {
		return " (a + in a query means a blank: write %2B)"
	}
	return ""
}

// parseNumber reads a decimal number, or says what is wrong with it. Of the
// forms that ParseFloat knows NaN, Inf and hexadecimal ones are none.
func parseNumber(text []byte) (n float64, problem string) {
	text = bytes.TrimSpace(text)
	if strings.Trim(string(text), "+-.0123456789eE") != "" {
		return 0, "is no decimal number: " + quote(string(text))
	}
	n, err := strconv.ParseFloat(string(text), 64)
	switch {
	case err != nil && !finite(n):
		return 0, "is out of range: " + quote(string(text))
	case err != nil:
		return 0, "is no decimal number: " + quote(string(text))
	}
	return n, ""
}

// quote shortens what a client wrote to what fits into a line.
func quote(text string) string {
	const most = 40
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "…"
	}
	return strconv.QuoteToASCII(text)
}
