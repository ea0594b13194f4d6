package graph

import "strings"

// methodNames are the methods that the front takes, in the order of Allow.
var methodNames = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// MethodSet is a set of methods.
type MethodSet uint16

const (
	otherMethods MethodSet = 1 << len(methodNames) // all that methodNames lacks
	allMethods             = otherMethods<<1 - 1
)

// methodSet returns the methods that a route takes: all where it names none,
// and HEAD where it names GET.
func methodSet(names []string) MethodSet {
	if len(names) == 0 {
		return allMethods
	}
	var set MethodSet
	for _, m := range names {
		if m != "" {
			set |= setOf(m)
		}
	}
	if set.Has("GET") {
		set |= setOf("HEAD")
	}
	return set
}

func setOf(method string) MethodSet {
	for i, m := range methodNames {
		if m == method {
			return 1 << i
		}
	}
	return otherMethods
}

// Has reports whether a method is in the set.
func (s MethodSet) Has(method string) bool { return s&setOf(method) != 0 }

// String returns the methods as the field Allow has them.
func (s MethodSet) String() string {
	names := make([]string, 0, len(methodNames))
	for i, m := range methodNames {
		if s&(1<<i) != 0 {
			names = append(names, m)
		}
	}
	return strings.Join(names, ", ")
}
