package graph

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// label names a front in a drawing.
func (f *Front) label() string {
	if f.Name == loneFront {
		return f.Name
	}
	return "front " + f.Name
}

// lines says where a front is.
func (f *Front) lines() []string {
	lines := []string{f.Scheme() + "://" + f.Listen}
	for _, e := range [...]struct {
		name string
		at   Endpoint
	}{{"loopback", f.Loopback}, {"interrupt", f.Interrupt}} {
		if e.at.Connect != "" {
			lines = append(lines, clean(e.name+" "+e.at.Connect))
		}
	}
	return lines
}

// pattern says in a line what a route matches.
func (r *Route) pattern() string {
	path := r.Path
	if path == "" {
		path = strings.TrimSuffix(r.Prefix, "/") + "/*"
	}
	s := r.Host + path
	if len(r.Methods) > 0 {
		s = strings.Join(r.Methods, " ") + " " + s
	}
	for _, name := range sortedKeys(r.Header) {
		s += " " + name + ": " + r.Header[name]
	}
	return clean(s)
}

// terms says in a line how a route's requests are treated; "" as all others.
func (r *Route) terms() string {
	var terms []string
	if r.Timeout != 0 {
		terms = append(terms, "timeout "+spell(r.Timeout))
	}
	if r.Priority != "" {
		terms = append(terms, "priority "+r.Priority)
	}
	if r.Repeat != "" && r.Repeat != RepeatSafe {
		terms = append(terms, "repeat "+string(r.Repeat))
	}
	return clean(strings.Join(terms, ", "))
}

// lines says who works in a stage, and under which bounds.
func (s *Stage) lines() []string {
	var lines []string
	switch {
	case s.Worker != "":
		lines = append(lines, s.Worker+" × "+count(s.Count, "1 per core"))
	case len(s.Command) > 0:
		lines = append(lines, "$ "+strings.Join(s.Command, " ")+" × "+count(s.Count, "1"))
	case s.Compat != "":
		lines = append(lines, "workers of "+s.Compat)
	default:
		lines = append(lines, "workers elsewhere")
	}
	if n := len(s.Pairs()); n > 1 {
		lines = append(lines, proxies(n))
	}
	if s.Timeout != 0 {
		lines = append(lines, "timeout "+spell(s.Timeout))
	}
	if s.Repeat != "" && s.Repeat != RepeatSafe {
		lines = append(lines, "repeat "+string(s.Repeat))
	}
	if s.Admission != "" && s.Admission != AdmitDeadline {
		lines = append(lines, "admission "+string(s.Admission))
	}
	if s.MaxVisits != 0 {
		lines = append(lines, fmt.Sprintf("at most %d visits", s.MaxVisits))
	}
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return lines
}

func count(n int, none string) string {
	if n == 0 {
		return none
	}
	return strconv.Itoa(n)
}

func spell(d time.Duration) string {
	if d == Never {
		return "never"
	}
	return d.String()
}

// clean replaces what does not print.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// width returns the columns that text takes in a terminal.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r):
		return 0
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
		return 2
	}
	return 1
}

// cut shortens text to so many columns.
func cut(s string, most int) string {
	if width(s) <= most {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeWidth(r); n > most-1 {
			return s[:i] + "…"
		}
	}
	return s
}
