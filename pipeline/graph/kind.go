package graph

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// kind is a kind of value: how it is read, and what the schema says of it.
type kind[V any] struct {
	// read returns false where it has reported a problem.
	read   func(c cursor) (V, bool)
	schema schema
}

// word is a value that is text in YAML too: a number has to be in quotes.
func word[V any](want string, s schema, parse func(string) (V, *flaw)) kind[V] {
	return kind[V]{
		schema: s.orVariable(),
		read: func(c cursor) (v V, ok bool) {
			t, ok := c.scalar(want)
			if ok && !t.expanded && t.tag != "!!str" && t.tag != "!!timestamp" {
				c.problem(fmt.Sprintf("want %s, found %s", want, c.found()), "text that looks like a number or a truth value needs quotes")
				return v, false
			}
			return parsed(c, t, ok, parse)
		},
	}
}

// parsed returns what parse makes of a scalar that was read.
func parsed[V any](c cursor, t scalar, ok bool, parse func(string) (V, *flaw)) (v V, good bool) {
	if !ok {
		return v, false
	}
	v, wrong := parse(t.text)
	if wrong != nil {
		c.flaw(wrong)
	}
	return v, wrong == nil
}

// anyText is text of any look: what stands there is what is meant.
func anyText() kind[string] {
	return kind[string]{
		schema: schema{"type": []string{"string", "number", "boolean"}},
		read: func(c cursor) (string, bool) {
			t, ok := c.scalar("text")
			if ok && strings.IndexByte(t.text, 0) >= 0 {
				c.problem("a zero byte", "")
				return "", false
			}
			return t.text, ok
		},
	}
}

// whole is a whole number within bounds.
func whole(least, most int64) kind[int] {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	return kind[int]{
		schema: schema{"type": "integer", "minimum": least, "maximum": most}.orVariable(),
		read: func(c cursor) (int, bool) {
			t, ok := c.scalar(want)
			if ok && !t.expanded && t.tag == "!!str" {
				c.problem("want "+want+", found "+c.found(), withoutQuotes(t.text))
				return 0, false
			}
			return parsed(c, t, ok, func(s string) (int, *flaw) {
				n, err := strconv.ParseInt(s, 10, 64)
				if digits := strings.TrimLeft(s, "+-"); len(digits) > 1 && digits[0] == '0' {
					return 0, flawf("", "%q begins with 0, which may mean octal: want %s", brief(s), want)
				}
				if err != nil || n < least || n > most {
					return 0, flawf("", "%q: want %s", brief(s), want)
				}
				return int(n), nil
			})
		},
	}
}

func withoutQuotes(s string) string {
	if _, err := strconv.Atoi(s); err == nil {
		return "write it without quotes"
	}
	return ""
}

// truth is true or false.
func truth() kind[bool] {
	return kind[bool]{
		schema: schema{"type": "boolean"}.orVariable(),
		read: func(c cursor) (bool, bool) {
			t, ok := c.scalar("true or false")
			if ok && !t.expanded && t.tag == "!!str" {
				t.text = "" // yes, on, or in quotes
			}
			return parsed(c, t, ok, func(s string) (bool, *flaw) {
				if s != "true" && s != "false" {
					return false, flawf("", "want true or false, found %s", c.found())
				}
				return s == "true", nil
			})
		},
	}
}

// oneOf is one of some words.
func oneOf[V ~string](words ...V) kind[V] {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return word("one of "+strings.Join(all, ", "), schema{"enum": all}, func(s string) (V, *flaw) {
		for _, w := range words {
			if s == string(w) {
				return w, nil
			}
		}
		return "", flawf(didYouMean(s, all), "%q is not known here", brief(s))
	})
}

// span is a duration of at least least. zero is what a duration of 0 stands
// for, where it is not 0 and may be written. With never the word means Never.
type span struct {
	least time.Duration
	zero  time.Duration
	never bool
}

const durationPattern = `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`

func (d span) kind() kind[time.Duration] {
	want, hint := "a duration", "write a number with ms, s, m or h, like 500ms or 1m30s"
	pattern := durationPattern
	if d.never {
		want, hint = "a duration or never", hint+", or never"
		pattern = "^never$|" + pattern
	}
	return kind[time.Duration]{
		schema: schema{"type": "string", "pattern": pattern}.orVariable(),
		read: func(c cursor) (time.Duration, bool) {
			t, ok := c.scalar(want)
			return parsed(c, t, ok, func(s string) (time.Duration, *flaw) {
				return d.parse(s, want, hint)
			})
		},
	}
}

func (d span) parse(s, want, hint string) (time.Duration, *flaw) {
	if s == "never" && d.never {
		return Never, nil
	}
	v, err := time.ParseDuration(s)
	switch {
	case err != nil || !isDigit(s[0]) || isDigit(s[len(s)-1]):
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return 0, flawf(hint, "%q has no unit: want %s", brief(s), want)
		}
		return 0, flawf(hint, "%q: want %s", brief(s), want)
	case v == 0 && d.zero != 0:
		return d.zero, nil
	case v < d.least:
		return 0, flawf("", "%q: want at least %v", brief(s), d.least)
	}
	return v, nil
}

// list is a list of at least one value. One that is wrong, or there twice where
// all have to differ, has its place in the list as a zero value.
func list[V comparable](item kind[V], differ bool) kind[[]V] {
	s := schema{"type": "array", "items": item.schema, "minItems": 1}
	if differ {
		s["uniqueItems"] = true
	}
	return kind[[]V]{schema: s, read: func(c cursor) ([]V, bool) {
		items, ok := c.items()
		if !ok {
			return nil, false
		}
		if len(items) == 0 {
			c.problem("an empty list", "name one, or leave the key out")
		}
		seen := make(map[V]bool, len(items))
		values := make([]V, len(items))
		for i, at := range items {
			switch v, ok := item.read(at); {
			case ok && differ && seen[v]:
				at.problem(fmt.Sprintf("%q is there twice", brief(fmt.Sprint(v))), "")
			case ok:
				seen[v], values[i] = true, v
			}
		}
		return values, true
	}}
}

// mappingOf is a mapping by a table of keys, which the schema has under a name.
func mappingOf[T any](definition string, keys func() []key[T]) kind[T] {
	return kind[T]{schema: ref(definition), read: func(c cursor) (v T, ok bool) {
		ok = readKeys(c, keys(), &v)
		return v, ok
	}}
}

// dictionary is keys of a form with values.
func dictionary[V any](key func(string) (string, *flaw), keyPattern string, value kind[V]) kind[map[string]V] {
	return kind[map[string]V]{
		schema: schema{
			"type": "object", "minProperties": 1,
			"propertyNames":        schema{"pattern": keyPattern},
			"additionalProperties": value.schema,
		},
		read: func(c cursor) (map[string]V, bool) {
			entries, ok := c.entries()
			if !ok {
				return nil, false
			}
			if len(entries) == 0 {
				c.problem("nothing in it", "name one, or leave the key out")
			}
			values := make(map[string]V, len(entries))
			for _, e := range entries {
				name, wrong := key(e.key)
				at, ok := c.child(e.value, join(c.path, e.key))
				if !ok {
					return nil, false
				}
				if wrong != nil {
					at.flaw(wrong)
				} else if v, ok := value.read(at); ok {
					values[name] = v
				}
			}
			return values, true
		},
	}
}
