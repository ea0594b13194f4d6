package graph

import (
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Bounds of what is read, against files that are small and mean much.
const (
	maxValues   = 200_000 // keys and values of a file, those of its aliases counted at each use
	maxProblems = 1000
	maxMerges   = 16 // mappings merged into one another
)

// reader walks the values of one file and collects its problems.
type reader struct {
	file     string
	lookup   func(string) (string, bool)
	left     int // values that may still be read
	problems []Problem
}

func newReader(file string, lookup func(string) (string, bool)) *reader {
	return &reader{file: file, lookup: lookup, left: maxValues}
}

func (r *reader) add(p Problem) {
	if len(r.problems) <= maxProblems { // one more says that there are more
		r.problems = append(r.problems, p)
	}
}

// cursor is a value of the file, aliases followed.
type cursor struct {
	r    *reader
	node *yaml.Node
	at   Position
	path string
	in   *origin // the element that it is part of; nil above all elements
}

// root returns the cursor of a document's value.
func (r *reader) root(n *yaml.Node) cursor {
	return cursor{r: r, node: n, at: Position{r.file, n.Line, n.Column}}
}

// child returns the cursor of a value below c, and false where there is
// nothing to be read any more.
func (c cursor) child(n *yaml.Node, path string) (cursor, bool) {
	child := cursor{c.r, n, Position{c.r.file, n.Line, n.Column}, path, c.in}
	if c.in != nil {
		c.in.places[strings.TrimPrefix(path, c.in.path)] = child.at
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	child.node = n
	return child, c.r.spend(child)
}

// spend counts a value, and reports the one that is too many.
func (r *reader) spend(c cursor) bool {
	r.left--
	if r.left == 0 {
		c.problem("more than "+strconv.Itoa(maxValues)+" keys and values with this one, aliases filled in", "")
	}
	return r.left > 0
}

// element makes c the place of an element: what is below it is noted there.
func (c cursor) element(o *origin) cursor {
	*o = origin{path: c.path, places: make(map[string]Position)}
	c.in = o
	return c
}

func (c cursor) problem(message, hint string) {
	c.r.add(Problem{Position: c.at, Path: c.path, Message: message, Hint: hint})
}

func (c cursor) flaw(f *flaw) { c.problem(f.message, f.hint) }

func (c cursor) isMapping() bool { return c.node.Kind == yaml.MappingNode }

func (c cursor) isList() bool { return c.node.Kind == yaml.SequenceNode }

// entry is a key of a mapping with its value.
type entry struct {
	key   string
	at    Position // of the key
	value *yaml.Node
}

// entries returns the keys of a mapping in their order, those merged behind its
// own, and false where c is no mapping.
func (c cursor) entries() ([]entry, bool) {
	if c.node.Kind != yaml.MappingNode || !c.plainTag() {
		c.problem("want keys with values, found "+c.found(), "")
		return nil, false
	}
	return c.collect(c.node, make(map[string]Position), nil, 0), true
}

// collect appends the keys of a mapping to those already seen.
func (c cursor) collect(mapping *yaml.Node, seen map[string]Position, to []entry, depth int) []entry {
	own := make(map[string]Position)
	var merged []*yaml.Node
	for i := 0; i+1 < len(mapping.Content) && c.r.spend(c); i += 2 {
		k, value := mapping.Content[i], mapping.Content[i+1]
		at := Position{c.r.file, k.Line, k.Column}
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch first, twice := own[k.Value]; {
		case k.Kind != yaml.ScalarNode || k.Value == "":
			c.r.add(Problem{Position: at, Path: c.path, Message: "a key that is no word"})
		case k.Tag == "!!merge":
			merged = append(merged, value)
		case twice:
			c.r.add(Problem{
				Position: at, Path: join(c.path, k.Value),
				Message: fmt.Sprintf("the key is there twice, first at line %d", first.Line),
			})
		default:
			own[k.Value] = at
			if _, overridden := seen[k.Value]; !overridden {
				seen[k.Value] = at
				to = append(to, entry{k.Value, at, value})
			}
		}
	}
	for _, m := range merged {
		to = c.merge(m, seen, to, depth+1)
	}
	return to
}

// merge appends the keys of what stands behind <<: a mapping, or a list of some.
func (c cursor) merge(n *yaml.Node, seen map[string]Position, to []entry, depth int) []entry {
	m, ok := c.child(n, join(c.path, "<<"))
	switch {
	case !ok:
	case depth > maxMerges:
		m.problem("more than "+strconv.Itoa(maxMerges)+" mappings merged into one another", "")
	case m.node.Kind == yaml.MappingNode:
		return m.collect(m.node, seen, to, depth)
	case m.node.Kind == yaml.SequenceNode:
		for _, item := range m.node.Content {
			to = c.merge(item, seen, to, depth+1)
		}
	default:
		m.problem("want the alias of a mapping, found "+m.found(), "")
	}
	return to
}

// items returns the values of a list, and false where c is none.
func (c cursor) items() ([]cursor, bool) {
	if c.node.Kind != yaml.SequenceNode || !c.plainTag() {
		c.problem("want a list, found "+c.found(), "write [a, b], or a line with - for each")
		return nil, false
	}
	items := make([]cursor, 0, len(c.node.Content))
	for i, n := range c.node.Content {
		item, ok := c.child(n, c.path+"["+strconv.Itoa(i)+"]")
		if !ok {
			return nil, false
		}
		items = append(items, item)
	}
	return items, true
}

// scalar is a single value as text.
type scalar struct {
	text     string
	tag      string // !!str, !!int, !!float, !!bool, !!timestamp
	expanded bool   // variables were filled in: the tag says nothing
}

// scalar returns the value of c with its variables filled in.
func (c cursor) scalar(want string) (scalar, bool) {
	if c.node.Kind != yaml.ScalarNode || c.node.Tag == "!!null" || !c.plainTag() {
		hint := ""
		if c.node.Tag == "!!null" {
			hint = "leave the key out, or give it a value"
		}
		c.problem("want "+want+", found "+c.found(), hint)
		return scalar{}, false
	}
	s := scalar{text: c.node.Value, tag: c.node.Tag}
	if !strings.Contains(s.text, "$") {
		return s, true
	}
	text, wrong := expand(s.text, c.r.lookup)
	if wrong != nil {
		c.flaw(wrong)
		return scalar{}, false
	}
	return scalar{text, s.tag, true}, true
}

// plainTag reports whether the value bears no tag of somebody's own.
func (c cursor) plainTag() bool {
	switch c.node.Tag {
	case "!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
		return true
	}
	return false
}

// found says what c is, for messages.
func (c cursor) found() string {
	switch {
	case !c.plainTag():
		return "the tag " + strconv.Quote(c.node.Tag)
	case c.node.Kind == yaml.MappingNode:
		return "keys with values"
	case c.node.Kind == yaml.SequenceNode:
		return "a list"
	case c.node.Tag == "!!null":
		return "nothing"
	}
	return strconv.Quote(brief(c.node.Value))
}

// brief shortens text for messages.
func brief(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return brief(key)
	}
	return path + "." + brief(key)
}
