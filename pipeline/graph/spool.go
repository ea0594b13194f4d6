package graph

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Spool is where a front keeps the bodies of routes with spool_above, for workers to
// read. The zero value is nowhere.
type Spool struct {
	// Dir is the directory, as workers find it too.
	Dir string
	// MaxBytes bounds all bodies in it; 0 is httpfront's default.
	MaxBytes Size
}

func spoolKeys() []key[Spool] {
	return []key[Spool]{
		field("dir", directory(), func(s *Spool) *string { return &s.Dir }, "",
			"absolute path of a directory for nothing else, where workers find it too; it is made if it is not there").must(),
		field("max_bytes", sizes[Size](1, math.MaxInt64), func(s *Spool) *Size { return &s.MaxBytes }, "10GiB",
			"most bytes of all bodies in it (503)"),
	}
}

// directory is an absolute path. Lists of them have commas between.
func directory() kind[string] {
	return word("a directory", schema{"type": "string", "pattern": "^/[^,]*$"}, func(s string) (string, *flaw) {
		switch {
		case !strings.HasPrefix(s, "/"):
			return "", flawf("workers would look for it elsewhere", "%q: want an absolute path", brief(s))
		case strings.Contains(s, ","):
			return "", flawf("", "%q: a comma, which separates directories where workers are told of them", brief(s))
		}
		return fileName(path.Clean(s))
	})
}

// checkSpool finds a spool that nothing goes to.
func (c *checker) checkSpool(f *Front) {
	uses := slices.ContainsFunc(c.g.Routes, func(r Route) bool { return r.SpoolAbove > 0 || r.flawed })
	if f.Spool.Dir != "" && !uses {
		c.warn(f.below(f.Position, ".spool", "nothing goes there: no route has spool_above", "write spool_above: 1MiB in a route"))
	}
}

// checkBody compares what a route says of bodies with what its fronts and stages can
// do.
func (c *checker) checkBody(r *Route) {
	if r.SpoolAbove == 0 {
		return
	}
	add := func(rest, message, hint string) { c.add(r.below(r.Position, rest, message, hint)) }
	for i := range c.g.Fronts {
		f := &c.g.Fronts[i]
		const body, spooled = 10 << 20, 10 << 30 // defaults
		most := orDefault(r.MaxBody, orDefault(f.MaxBody, body))
		switch {
		case f.Spool.Dir == "" && !f.flawed:
			add(".spool_above", fmt.Sprintf("the %s has no spool", f.label()), "write spool: {dir: /var/spool/NAME} there")
			return
		case r.SpoolAbove >= most:
			c.warn(r.below(r.Position, ".spool_above", fmt.Sprintf("no body is larger: max_body is %v", most), "raise max_body of the route"))
			return
		case most > orDefault(f.Spool.MaxBytes, spooled):
			add(".max_body", fmt.Sprintf("larger than all that the %s may spool, %v", f.label(), orDefault(f.Spool.MaxBytes, spooled)),
				"raise spool.max_bytes too")
			return
		}
	}
	c.checkReaders(r)
}

// checkReaders looks at the stages that a spooled body may reach.
func (c *checker) checkReaders(r *Route) {
	for _, i := range c.paths.from(c.paths.index[r.Stage]) {
		s := &c.g.Stages[i]
		switch {
		case s.Compat != "":
			c.add(r.below(r.Position, ".spool_above", fmt.Sprintf("prime_server's workers of stage %q cannot read spooled bodies", s.Name),
				"leave it out, or lead the route to other stages"))
			return
		case elsewhere(s.Downstream) || s.External:
			c.warn(r.below(r.Position, ".spool_above", fmt.Sprintf("the workers of stage %q may be on other machines: "+
				"the front's spool has to be there too, under the same path", s.Name), "share the directory, or use ipc endpoints"))
			return
		}
	}
}

// elsewhere reports whether who connects to an endpoint may be on another machine.
func elsewhere(e Endpoint) bool {
	parts, wrong := splitEndpoint(e.Connect)
	if wrong != nil || parts.scheme == "ipc" || strings.EqualFold(parts.host, "localhost") {
		return false
	}
	host, err := netip.ParseAddr(strings.Trim(parts.host, "[]"))
	return err != nil || !host.IsLoopback()
}

// from returns the stages that jobs of one may reach, itself included.
func (p *paths) from(stage int) []int {
	reached := []int{stage}
	for i := 0; i < len(reached); i++ {
		for _, to := range p.next[reached[i]] {
			if !slices.Contains(reached, to) {
				reached = append(reached, to)
			}
		}
	}
	return reached
}

func (m mapping) spool(s *Spool) {
	if s.Dir == "" {
		return
	}
	below := m.mapping("spool")
	below.text("dir", s.Dir)
	below.size("max_bytes", s.MaxBytes)
}
