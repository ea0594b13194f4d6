package graph

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// parse reads the one YAML document of a file. Problems have no path.
func parse(f File) (*yaml.Node, *Problem) {
	if len(f.Data) > MaxFile {
		return nil, &Problem{
			Position: Position{File: f.Name},
			Message:  fmt.Sprintf("the file has %d bytes, at most %d are read", len(f.Data), MaxFile),
		}
	}
	if p := checkText(f); p != nil {
		return nil, p
	}
	d := yaml.NewDecoder(bytes.NewReader(f.Data))
	doc, err := decode(d)
	switch {
	case errors.Is(err, io.EOF) || err == nil && isNothing(doc):
		return nil, &Problem{
			Position: Position{f.Name, 1, 0},
			Message:  "the file is empty",
			Hint:     "it needs routes and stages",
		}
	case err != nil:
		return nil, syntaxProblem(f, err)
	}
	switch second, err := decode(d); {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return nil, syntaxProblem(f, err)
	default:
		return nil, &Problem{
			Position: Position{f.Name, second.Line, second.Column},
			Message:  "a second document begins here, which would be ignored",
			Hint:     "put it into a file of its own; several files compose",
		}
	}
}

// decode reads the next document. A panic of the library, which nobody mends
// any more, is an error too.
func decode(d *yaml.Decoder) (doc *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	doc = new(yaml.Node)
	err = d.Decode(doc)
	return doc, err
}

// isNothing reports whether a document has no content: a file with nothing but
// comments, or a mark.
func isNothing(doc *yaml.Node) bool {
	return len(doc.Content) == 0 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].Tag == "!!null"
}

// checkText finds bytes that no YAML has: the library would not say where.
func checkText(f File) *Problem {
	line, column := 1, 1
	for rest := f.Data; len(rest) > 0; {
		c, n := utf8.DecodeRune(rest)
		bad := ""
		switch {
		case c == utf8.RuneError && n == 1:
			bad = "the file is no UTF-8 text"
		case !isYAML(c):
			bad = fmt.Sprintf("a control character, %#02x", c)
		}
		if bad != "" {
			return &Problem{Position: Position{f.Name, line, column}, Message: bad}
		}
		column++
		if c == '\n' {
			line, column = line+1, 1
		}
		rest = rest[n:]
	}
	return nil
}

// isYAML reports whether a character may stand in YAML (section 5.1).
func isYAML(c rune) bool {
	switch {
	case c < ' ':
		return c == '\t' || c == '\n' || c == '\r'
	case c >= 0x7f && c < 0xa0:
		return c == 0x85
	}
	return c != 0xfffe && c != 0xffff
}

var (
	lineInError  = regexp.MustCompile(`^yaml: line (\d+): (?s)(.*)$`)
	aliasInError = regexp.MustCompile(`^yaml: unknown anchor '(.*)' referenced$`)
	leadingTab   = regexp.MustCompile(`^ *\t`)
)

// syntaxProblem makes a problem of the library's error, which is text alone.
func syntaxProblem(f File, err error) *Problem {
	line, message := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineInError.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
		if strings.HasPrefix(message, "did not find expected") {
			line++ // the parser counts from 0, the scanner from 1
		}
	}
	if m := aliasInError.FindStringSubmatch(err.Error()); m != nil {
		return &Problem{
			Position: Position{f.Name, lineOf(f.Data, "*"+m[1]), 0},
			Message:  fmt.Sprintf("no YAML: the alias *%s has no anchor before it", m[1]),
			Hint:     fmt.Sprintf("write &%s before the value that it stands for, or quotes around a text with a star", m[1]),
		}
	}
	return &Problem{
		Position: Position{f.Name, line, 0},
		Message:  "no YAML: " + message,
		Hint:     syntaxHint(f.Data, line, message),
	}
}

// syntaxHint guesses what went wrong from the line and the library's words.
func syntaxHint(data []byte, line int, message string) string {
	text := lineAt(data, line)
	switch {
	case leadingTab.MatchString(text):
		return "indent with blanks, not tabs"
	case strings.Contains(text, "${"):
		return `between { and }, or [ and ], write "${NAME}" in quotes`
	case strings.Contains(message, "mapping values are not allowed"):
		return "put a value that holds a colon and a blank in quotes, or look at the indentation"
	case strings.Contains(message, "cannot start any token"):
		return "put the value in quotes"
	}
	return "look at the indentation, and at quotes and brackets that are not closed, here and above"
}

// lineOf returns the number of the first line with s, 1 where there is none.
func lineOf(data []byte, s string) int {
	i := max(bytes.Index(data, []byte(s)), 0)
	return 1 + bytes.Count(data[:i], []byte("\n"))
}

func lineAt(data []byte, n int) string {
	for line := range bytes.Lines(data) {
		if n--; n == 0 {
			return string(line)
		}
	}
	return ""
}
