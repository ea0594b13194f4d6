package graph

import "fmt"

// Bounds of a graph: checks compare its elements with one another.
const (
	maxStages = 1000
	maxRoutes = 10_000
	maxFronts = 100
)

// checker finds what is wrong between the values of a graph. Values that are
// wrong in themselves have been reported, and are zero.
type checker struct {
	g        *Graph
	top      Position // of the first file
	o        Options
	paths    paths
	guesses  int
	problems []Problem
}

// check returns what is wrong between the values of a graph, with where the
// keys of its files are, and whether something is missing that was flawed.
func (g *Graph) check(top Position, at map[string]Position, flawed bool, o Options) []Problem {
	c := &checker{g: g, top: top, o: o}
	if !c.checkSizes(at, flawed) {
		return c.problems
	}
	c.paths = newPaths(g)
	c.checkFronts()
	c.checkRoutes()
	c.checkShadows()
	c.checkStages()
	c.checkEdges()
	c.checkCycles()
	c.checkEndpoints()
	c.checkOutside()
	c.checkMTLS()
	return c.problems
}

// hint is didYouMean, the first times.
func (c *checker) hint(s string, words []string) string {
	if c.guesses++; c.guesses > maxGuesses {
		return ""
	}
	return didYouMean(s, words)
}

func (c *checker) add(p Problem) { c.problems = append(c.problems, p) }

func (c *checker) warn(p Problem) {
	p.Warning = true
	c.problems = append(c.problems, p)
}

// checkSizes wants something of everything, and not too much; it returns false
// where the rest cannot be checked.
func (c *checker) checkSizes(at map[string]Position, flawed bool) bool {
	ok := true
	need := func(n, most int, key, without string) {
		where, there := at[key]
		if !there {
			where = c.top
		}
		ok = ok && n > 0 && n <= most
		switch {
		case n == 0 && !(there && flawed):
			c.add(Problem{Position: where, Path: key, Message: "there are none", Hint: without})
		case n > most:
			c.add(Problem{Position: where, Path: key, Message: fmt.Sprintf("%d are too many: at most %d", n, most)})
		}
	}
	need(len(c.g.Routes), maxRoutes, "routes", "write - {prefix: /, stage: NAME}")
	need(len(c.g.Stages), maxStages, "stages", "a service needs one at least")
	need(len(c.g.Fronts), maxFronts, "fronts", "write front: {}, or leave both keys out")
	if _, there := at["version"]; !there {
		c.warn(Problem{Position: c.top, Path: "version", Message: "it is missing", Hint: fmt.Sprintf("write version: %d", Version)})
	}
	return ok
}

// checkFronts compares the values of each front with one another.
func (c *checker) checkFronts() {
	for i := range c.g.Fronts {
		f := &c.g.Fronts[i]
		if f.Live != "" && normalPath(f.Live) == normalPath(f.Ready) {
			rest := ".ready"
			if !f.has(rest) {
				rest = ".live"
			}
			c.add(f.below(f.Position, rest, fmt.Sprintf("live and ready are both %s", f.Live), "give each a path of its own"))
		}
		c.checkTLS(f)
		c.checkSpool(f)
		c.checkEdge(f)
		const header, pending = 16 << 10, 256 << 20 // defaults
		if head := orDefault(f.MaxHeader, header); Size(f.MaxTarget) > head {
			c.warn(f.below(f.Position, ".max_target", fmt.Sprintf("longer than max_header, %v, which bounds it", head), "raise max_header too"))
		}
		if all := orDefault(f.MaxPendingBytes, pending); f.MaxBody > all {
			c.warn(f.below(f.Position, ".max_body",
				fmt.Sprintf("larger than max_pending_bytes, %v: such a request is always refused", all), "raise max_pending_bytes too"))
		}
	}
}

func orDefault(s, standard Size) Size {
	if s == 0 {
		return standard
	}
	return s
}
