package graph

import (
	"fmt"
	"net"
	"strings"
)

// Forms of names, for the schema.
const (
	namePattern     = `^[A-Za-z0-9][A-Za-z0-9_.-]*$`
	pathPattern     = `^/[^?#]*$`
	hostPattern     = `^(\*\.)?[A-Za-z0-9\[:_][A-Za-z0-9._:\]-]*$`
	tokenPattern    = `^[!#$%&'*+.^_|~0-9A-Za-z\x60-]+$`
	variablePattern = `^[A-Za-z_][A-Za-z0-9_]*$`
)

// maxName bounds the names of stages and classes, in bytes; maxFrontName those
// of fronts, which travel with each job.
const (
	maxName      = 63
	maxFrontName = 28
)

// parseName reads a name that has to do as a part of a file's name, of a role
// like proxy:parse, and of metrics.
func parseName(most int) func(string) (string, *flaw) {
	return func(s string) (string, *flaw) {
		if len(s) > most {
			return "", flawf("", "the name %q has %d bytes, at most %d are allowed", brief(s), len(s), most)
		}
		for i, c := range []byte(s) {
			if !isLetter(c) && !isDigit(c) && (i == 0 || !strings.ContainsRune("_.-", rune(c))) {
				return "", flawf("write letters, digits, and - _ . between them", "%q is no name", s)
			}
		}
		if s == "" {
			return "", flawf("", "the name is empty")
		}
		return s, nil
	}
}

func name(most int) kind[string] {
	return word("a name", schema{"type": "string", "pattern": namePattern, "maxLength": most}, parseName(most))
}

// urlPath is a path of a URL, not decoded.
func urlPath() kind[string] {
	return word("a path", schema{"type": "string", "pattern": pathPattern}, parsePath)
}

// healthPath is such a path, or "" for none.
func healthPath() kind[string] {
	return word("a path", schema{"type": "string", "pattern": "^$|" + pathPattern}, func(s string) (string, *flaw) {
		if s == "" {
			return "", nil
		}
		return parsePath(s)
	})
}

func parsePath(s string) (string, *flaw) {
	switch {
	case !strings.HasPrefix(s, "/"):
		return "", flawf("", "%q does not begin with /", brief(s))
	case strings.ContainsAny(s, "?#"):
		return "", flawf("routes look at the path alone", "%q has more than a path", brief(s))
	}
	for segment := range strings.SplitSeq(s, "/") {
		if plain := normalPath(segment); plain == "." || plain == ".." {
			return "", flawf("write the path that it leads to", "%q: the segment %q is never resolved", brief(s), segment)
		}
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return "", flawf("", "%q holds a control character", brief(s))
		case c == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])):
			return "", flawf("write %25 for a percent sign", "%q: %% without two hexadecimal digits", brief(s))
		}
	}
	return s, nil
}

// hostPatterns is a host name, or *. with the names below one.
func hostPatterns() kind[string] {
	return word("a host name", schema{"type": "string", "pattern": hostPattern}, parseHostPattern)
}

func parseHostPattern(s string) (string, *flaw) {
	name, wild := strings.CutPrefix(s, "*.")
	bare := strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	switch {
	case s == "*":
		return "", flawf("leave host out", "every host matches without it")
	case strings.Contains(name, "*"):
		return "", flawf("write *.example.com for all names below example.com", "%q: a star stands at the beginning alone, before a dot", brief(s))
	case net.ParseIP(bare) != nil && !wild:
		if strings.Contains(bare, ":") {
			return "[" + bare + "]", nil
		}
		return s, nil
	case strings.Contains(name, ":"):
		return "", flawf("leave the port out: every port matches", "%q is no host name", brief(s))
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.ContainsFunc(label, func(c rune) bool {
			return c > 0x7f || !isLetter(byte(c)) && !isDigit(byte(c)) && c != '-' && c != '_'
		}) {
			return "", flawf("names of other alphabets are written as xn--…", "%q is no host name", brief(s))
		}
	}
	return s, nil
}

// method is one that the front takes.
func method() kind[string] {
	all := methodNames[:]
	return word("a method", schema{"enum": all}, func(s string) (string, *flaw) {
		for _, m := range all {
			if s == m {
				return m, nil
			}
		}
		return "", flawf(didYouMean(s, all), "%q is no method that the front takes", brief(s))
	})
}

// headers are field names with the values wanted.
func headers() kind[map[string]string] {
	d := dictionary(parseField, tokenPattern, fieldValue())
	read := d.read
	d.read = func(c cursor) (map[string]string, bool) {
		fields, ok := read(c)
		lower := make(map[string]string, len(fields))
		for _, f := range sortedKeys(fields) {
			if other, twice := lower[strings.ToLower(f)]; twice {
				c.problem(fmt.Sprintf("%s and %s are one field: capitals do not matter", other, f), "")
			}
			lower[strings.ToLower(f)] = f
		}
		return fields, ok
	}
	return d
}

// fieldName is the name of a header field.
func fieldName() kind[string] {
	return word("the name of a header field", schema{"type": "string", "pattern": tokenPattern}, func(s string) (string, *flaw) {
		if s == "" {
			return "", flawf("", "the name is empty")
		}
		return parseField(s)
	})
}

func parseField(s string) (string, *flaw) {
	for _, c := range []byte(s) {
		if !isLetter(c) && !isDigit(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return "", flawf("", "%q is no name of a header field", brief(s))
		}
	}
	return s, nil
}

func fieldValue() kind[string] {
	k := anyText()
	read := k.read
	k.read = func(c cursor) (string, bool) {
		s, ok := read(c)
		if ok && strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			c.problem("a control character", "")
			return "", false
		}
		if ok && s != strings.TrimSpace(s) {
			c.problem("blanks around the value, which no request has", "")
			return "", false
		}
		return s, ok
	}
	return k
}

// environment are variables with their values.
func environment() kind[map[string]string] {
	return dictionary(func(s string) (string, *flaw) {
		if !isVariable(s) {
			return "", flawf("write letters, digits and _", "%q is no name of an environment variable", brief(s))
		}
		return s, nil
	}, variablePattern, anyText())
}
