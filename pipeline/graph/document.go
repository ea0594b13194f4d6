package graph

import "strings"

// Version is the version of the file that this package reads.
const Version = 1

// document is what one file holds. What may be in one file only is at its
// place in at.
type document struct {
	version int
	fronts  []Front
	routes  []Route
	stages  []Stage
	limits  Limits
	at      map[string]Position // of the keys of the file
}

// readDocument reads a file's value.
func readDocument(c cursor) document {
	d := document{at: make(map[string]Position)}
	readKeys(c, documentKeys(), &d)
	return d
}

func documentKeys() []key[document] {
	return []key[document]{
		once("version", schema{"const": Version}, "version of this form of file: 1", readVersion),
		once("front", ref("front"), "the HTTP front", readFront),
		once("fronts", named("front", maxFrontName), "several HTTP fronts by their names, which share the stages", readFronts),
		{name: "routes", schema: schema{"type": "array", "items": ref("route")}, read: readRoutes,
			doc: "which requests go to which stage: the first that matches takes the request"},
		{name: "stages", schema: named("stage", maxName), read: readStages,
			doc: "pools of workers by their names, and the edges between them"},
		once("limits", ref("limits"), "bounds on every job", readLimits),
	}
}

// once is a key that may be in one of several files; its place is kept.
func once(name string, s schema, doc string, read func(c cursor, d *document) bool) key[document] {
	return key[document]{name: name, schema: s, doc: doc, read: func(c cursor, d *document) bool {
		d.at[name] = c.at
		return read(c, d)
	}}
}

func readVersion(c cursor, d *document) (ok bool) {
	d.version, ok = whole(Version, Version).read(c)
	return ok
}

func readFront(c cursor, d *document) bool {
	d.fronts = append(d.fronts, newFront("front", c.at))
	f := &d.fronts[len(d.fronts)-1]
	return readKeys(c.element(&f.origin), frontKeys(), f)
}

// newFront returns a front with the defaults that are not zero.
func newFront(name string, at Position) Front {
	return Front{Name: name, Listen: DefaultListen, Live: "/livez", Ready: "/readyz", Position: at, origin: origin{path: "front"}}
}

func readFronts(c cursor, d *document) bool {
	return c.named(maxFrontName, func(e entry, at cursor) {
		d.fronts = append(d.fronts, newFront(e.key, e.at))
		f := &d.fronts[len(d.fronts)-1]
		readKeys(at.element(&f.origin), frontKeys(), f)
	})
}

func readStages(c cursor, d *document) bool {
	return c.named(maxName, func(e entry, at cursor) {
		d.stages = append(d.stages, Stage{Name: e.key, Position: e.at})
		s := &d.stages[len(d.stages)-1]
		readKeys(at.element(&s.origin), stageKeys(), s)
	})
}

func readRoutes(c cursor, d *document) bool {
	items, ok := c.items()
	for _, at := range items {
		d.routes = append(d.routes, Route{Position: at.at})
		r := &d.routes[len(d.routes)-1]
		readKeys(at.element(&r.origin), routeKeys(), r)
	}
	return ok
}

func readLimits(c cursor, d *document) bool {
	d.limits = Limits{Position: c.at}
	return readKeys(c.element(&d.limits.origin), limitsKeys(), &d.limits)
}

// named calls read for each entry of a mapping whose keys are names.
func (c cursor) named(most int, read func(e entry, at cursor)) bool {
	entries, ok := c.entries()
	for _, e := range entries {
		at, more := c.child(e.value, join(c.path, e.key))
		if !more {
			return false
		}
		if _, wrong := parseName(most)(e.key); wrong != nil {
			c.r.add(Problem{Position: e.at, Path: c.path, Message: wrong.message, Hint: wrong.hint})
			continue
		}
		read(e, at)
	}
	return ok
}

// isExtension reports whether a key of a file is there for anchors only.
func isExtension(key string) bool { return strings.HasPrefix(key, "x-") }
