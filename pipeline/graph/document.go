package graph

import (
	"fmt"
	"strings"
)

// Version is the version of the file that this package reads.
const Version = 1

// document is what one file holds.
type document struct {
	fronts  []Front
	routes  []Route
	stages  []Stage
	limits  Limits
	metrics Metrics
	classes []Priority
	mtls    MTLS
	network Network
	at      map[string]Position // of the keys of the file
	flawed  bool                // something was wrong and has been reported
}

// readDocument reads a file's value.
func readDocument(c cursor) document {
	d := document{at: make(map[string]Position)}
	d.flawed = !readKeys(c, documentKeys(), &d)
	return d
}

func documentKeys() []key[document] {
	return []key[document]{
		noted("version", schema{"const": Version}, "version of this form of file: 1", readVersion),
		noted("front", ref("front"), "the HTTP front", readFront),
		noted("fronts", named("front", maxFrontName), "several HTTP fronts by their names, which share the stages", readFronts),
		noted("routes", schema{"type": "array", "items": ref("route")},
			"which requests go to which stage: the first that matches takes the request", readRoutes),
		noted("stages", named("stage", maxName), "pools of workers by their names, and the edges between them", readStages),
		noted("limits", ref("limits"), "bounds on every job", readLimits),
		noted("metrics", ref("metrics"), "where processes serve what they measure", readMetrics),
		noted("priorities", classes(), "classes of jobs by their names, and the shares of turns that they get while all wait", readPriorities),
		noted("mtls", ref("mtls"), "certificates of the parts, for tls+tcp endpoints", readMTLS),
		noted("network", networkKinds().schema, "private: plain tcp endpoints may be bound beyond this machine, since only parts of the graph get there; otherwise that is a warning", readNetwork),
	}
}

// noted is a key whose place is kept.
func noted(name string, s schema, doc string, read func(c cursor, d *document) bool) key[document] {
	return key[document]{name: name, schema: s, doc: doc, read: func(c cursor, d *document) bool {
		d.at[name] = c.at
		return read(c, d)
	}}
}

func readVersion(c cursor, _ *document) bool {
	v, ok := whole(0, 1000).read(c)
	if ok && v != Version {
		c.problem(fmt.Sprintf("there is no version %d", v), fmt.Sprintf("write version: %d", Version))
	}
	return ok && v == Version
}

func readFront(c cursor, d *document) bool {
	d.fronts = append(d.fronts, newFront(loneFront, c.at))
	f := &d.fronts[len(d.fronts)-1]
	f.flawed = !readKeys(c.element(&f.origin), frontKeys(), f)
	return !f.flawed
}

// newFront returns a front with the defaults that are not zero.
func newFront(name string, at Position) Front {
	return Front{Name: name, Listen: DefaultListen, Live: "/livez", Ready: "/readyz", Position: at, origin: origin{path: loneFront}}
}

func readFronts(c cursor, d *document) bool {
	return c.named(maxFrontName, func(e entry, at cursor) {
		d.fronts = append(d.fronts, newFront(e.key, e.at))
		f := &d.fronts[len(d.fronts)-1]
		f.flawed = !readKeys(at.element(&f.origin), frontKeys(), f)
	})
}

func readStages(c cursor, d *document) bool {
	return c.named(maxName, func(e entry, at cursor) {
		d.stages = append(d.stages, Stage{Name: e.key, Position: e.at})
		s := &d.stages[len(d.stages)-1]
		s.flawed = !readKeys(at.element(&s.origin), stageKeys(), s)
	})
}

func readRoutes(c cursor, d *document) bool {
	items, ok := c.items()
	for _, at := range items {
		d.routes = append(d.routes, Route{Position: at.at})
		r := &d.routes[len(d.routes)-1]
		r.flawed = !readKeys(at.element(&r.origin), routeKeys(), r)
	}
	return ok
}

func readLimits(c cursor, d *document) bool {
	d.limits = Limits{Position: c.at}
	return readKeys(c.element(&d.limits.origin), limitsKeys(), &d.limits)
}

func readMetrics(c cursor, d *document) bool {
	d.metrics = Metrics{Position: c.at}
	return readKeys(c.element(&d.metrics.origin), metricsKeys(), &d.metrics)
}

// maxWeight and maxClasses bound the priority classes: a class's index travels
// as one byte.
const (
	maxWeight  = 1000
	maxClasses = 255
)

// classes is the schema of the priority classes.
func classes() schema {
	s := named("", maxName)
	s["additionalProperties"] = whole(1, maxWeight).schema
	s["maxProperties"] = maxClasses
	return s
}

func readPriorities(c cursor, d *document) bool {
	good := c.named(maxName, func(e entry, at cursor) {
		if w, ok := whole(1, maxWeight).read(at); ok {
			d.classes = append(d.classes, Priority{Name: e.key, Weight: w})
		}
	})
	if len(d.classes) > maxClasses {
		c.problem(fmt.Sprintf("%d classes are too many: at most %d", len(d.classes), maxClasses), "")
		return false
	}
	return good
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
