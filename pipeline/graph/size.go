package graph

import (
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes.
type Size int64

// units of sizes: those of 1024 end in iB.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

const (
	sizePattern = `^[0-9]+(\.[0-9]+)? ?([kKmMgGtT]?[iI]?[bB])?$`
	sizeHint    = "write bytes, or a number with KiB, MiB or GiB"
)

// String returns the size in the largest unit of 1024 that leaves a whole
// number, like 10MiB.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parseSize reads bytes, or a number with a unit: 4096, 64KiB, 1.5GB. Capitals
// do not matter.
func parseSize(s string) (Size, *flaw) {
	bad := flawf(sizeHint, "%q is no size", brief(s))
	number, unit := s, int64(1)
	for _, u := range units {
		if n := len(s) - len(u.name); n > 0 && strings.EqualFold(s[n:], u.name) {
			number, unit = strings.TrimSuffix(s[:n], " "), u.bytes
			break
		}
	}
	if len(number) > 1 && number[0] == '0' && isDigit(number[1]) { // YAML's octal
		return 0, bad
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil && isDigit(number[0]) {
		if whole > math.MaxInt64/unit {
			return 0, bad
		}
		return Size(whole * unit), nil
	}
	before, after, _ := strings.Cut(number, ".")
	if !digits(before) || !digits(after) {
		return 0, bad
	}
	f, err := strconv.ParseFloat(number, 64)
	if f *= float64(unit); err != nil || f >= math.MaxInt64 || f != math.Trunc(f) {
		return 0, bad
	}
	return Size(f), nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// sizes is a size of at least least and at most most bytes.
func sizes[V ~int | ~int64](least, most int64) kind[V] {
	const want = "a size"
	return kind[V]{
		schema: schema{"anyOf": []schema{
			{"type": "integer", "minimum": least, "maximum": most},
			{"type": "string", "pattern": sizePattern},
			variableSchema(),
		}},
		read: func(c cursor) (V, bool) {
			t, ok := c.scalar(want)
			return parsed(c, t, ok, func(s string) (V, *flaw) {
				n, wrong := parseSize(s)
				switch {
				case wrong != nil:
					return 0, wrong
				case int64(n) < least || int64(n) > most:
					return 0, flawf("", "%q: want a size from %v to %v", brief(s), Size(least), Size(most))
				}
				return V(n), nil
			})
		},
	}
}
