package graph

import (
	"fmt"
	"strings"
)

// flaw is what is wrong with a value, and what to do about it.
type flaw struct {
	message, hint string
}

func flawf(hint, format string, args ...any) *flaw {
	return &flaw{fmt.Sprintf(format, args...), hint}
}

// maxExpanded bounds a value after expansion, in bytes.
const maxExpanded = 64 << 10

// expand replaces the environment variables in a value:
//
//	${NAME}            its value; it has to be set
//	${NAME:-default}   default where it is unset or empty
//	$$                 a dollar sign
func expand(s string, lookup func(string) (string, bool)) (string, *flaw) {
	var out strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "$")
		out.WriteString(plain)
		if out.Len() > maxExpanded {
			return "", flawf("", "it has more than %d bytes once its variables are filled in", maxExpanded)
		}
		switch {
		case !found:
			return out.String(), nil
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{"):
			form, after, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return "", flawf("write ${NAME} or ${NAME:-default}", "${ is not closed")
			}
			value, wrong := variable(form, lookup)
			if wrong != nil {
				return "", wrong
			}
			out.WriteString(value)
			s = after
		default:
			return "", flawf("write ${NAME} for an environment variable, $$ for a dollar sign", "a dollar sign alone")
		}
	}
}

// variable returns the value of what stands between the braces.
func variable(form string, lookup func(string) (string, bool)) (string, *flaw) {
	name, fallback, hasFallback := strings.Cut(form, ":-")
	switch {
	case !isVariable(name):
		return "", flawf("write ${NAME} or ${NAME:-default}", "${%s} is no environment variable", form)
	case strings.Contains(fallback, "$"):
		return "", flawf("write the default out", "the default of ${%s} holds another variable", name)
	}
	switch value, set := lookup(name); {
	case hasFallback && value == "":
		return fallback, nil
	case !set:
		return "", flawf(fmt.Sprintf("set it, or write ${%s:-default}", name), "the environment variable %s is not set", name)
	default:
		return value, nil
	}
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		if c != '_' && !isLetter(c) && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return name != ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
