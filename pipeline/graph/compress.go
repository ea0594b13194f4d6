package graph

import "strings"

// Compress says which answers are compressed for clients that take it; the zero
// value is none.
type Compress struct {
	// Encodings are those offered, the best first. Load fills in all.
	Encodings []Encoding
	// MinSize is the size from which on a body is compressed; 0 is the default of
	// httpfront.
	MinSize Size
	// Types are the media types that are, like text/* or application/json; empty
	// is the default of httpfront.
	Types []string
}

// IsZero reports whether nothing is compressed.
func (c *Compress) IsZero() bool { return len(c.Encodings) == 0 }

// Encoding is a way of compressing.
type Encoding string

// The encodings, in the order of the default.
const (
	Zstd   Encoding = "zstd"
	Brotli Encoding = "br"
	Gzip   Encoding = "gzip"
)

func compressKeys() []key[Compress] {
	return []key[Compress]{
		field("encodings", list(oneOf(Zstd, Brotli, Gzip), true), func(c *Compress) *[]Encoding { return &c.Encodings }, "",
			"encodings offered, the best first; absent: zstd, br, gzip"),
		field("min_size", sizes[Size](1, 4<<20), func(c *Compress) *Size { return &c.MinSize }, "1KiB",
			"size of a body from which on it is compressed"),
		field("types", list(mediaType(), true), func(c *Compress) *[]string { return &c.Types }, "",
			"media types that are compressed, like text/* or application/json; absent: the usual ones"),
	}
}

// compressing is the mapping, which means something even when it is empty.
func compressing() kind[Compress] {
	k := mappingOf("compress", compressKeys)
	read := k.read
	k.read = func(c cursor) (Compress, bool) {
		v, ok := read(c)
		if ok && v.IsZero() {
			v.Encodings = []Encoding{Zstd, Brotli, Gzip}
		}
		return v, ok
	}
	return k
}

const mediaTypePattern = `^[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+|\*)$`

func mediaType() kind[string] {
	return word("a media type", schema{"type": "string", "pattern": mediaTypePattern}, func(s string) (string, *flaw) {
		kind, sub, ok := strings.Cut(s, "/")
		_, wrong := parseField(kind + sub)
		if !ok || wrong != nil || kind == "" || sub == "" || s != strings.ToLower(s) ||
			strings.Contains(kind, "*") || sub != "*" && strings.Contains(sub, "*") {
			return "", flawf("write it in small letters, like text/* or application/json", "%q is no media type", brief(s))
		}
		return s, nil
	})
}

func (m mapping) compress(c *Compress) {
	if c.IsZero() {
		return
	}
	below := m.mapping("compress")
	var names []string
	for _, e := range c.Encodings {
		names = append(names, string(e))
	}
	below.list("encodings", names)
	below.size("min_size", c.MinSize)
	below.list("types", c.Types)
}
