package graph

import (
	"maps"
	"slices"
)

// key is one key of a mapping. The tables of keys are what the loader reads by
// and what the schema is made of, so that the two agree.
type key[T any] struct {
	name string
	// doc is a line about it, for editors.
	doc string
	// standard is the default as it would be written; "" is none.
	standard string
	needed   bool
	schema   schema
	read     func(c cursor, to *T) bool
}

// field is a key whose value goes into a field.
func field[T, V any](name string, k kind[V], to func(*T) *V, standard, doc string) key[T] {
	return key[T]{
		name: name, doc: doc, standard: standard, schema: k.schema,
		read: func(c cursor, t *T) bool {
			v, ok := k.read(c)
			if ok {
				*to(t) = v
			}
			return ok
		},
	}
}

// must makes a key one that may not be left out.
func (k key[T]) must() key[T] {
	k.needed = true
	return k
}

// readKeys reads a mapping by its table. It returns false where anything in it
// is wrong; what is right has been read nevertheless.
func readKeys[T any](c cursor, keys []key[T], to *T) bool {
	before := len(c.r.problems)
	entries, ok := c.entries()
	if !ok {
		return false
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.key] = true
		i := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == e.key })
		switch {
		case i >= 0:
			if at, ok := c.child(e.value, join(c.path, e.key)); ok {
				keys[i].read(at, to)
			}
		case c.path == "" && isExtension(e.key), len(c.r.problems) >= maxProblems:
		default:
			c.r.add(Problem{Position: e.at, Path: join(c.path, e.key), Message: "there is no such key", Hint: didYouMean(e.key, names(keys))})
		}
	}
	for _, k := range keys {
		if k.needed && !there[k.name] {
			c.problem(k.name+" is missing", k.doc)
		}
	}
	return len(c.r.problems) == before
}

func names[T any](keys []key[T]) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.name
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
