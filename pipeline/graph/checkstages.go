package graph

import (
	"fmt"
	"slices"
	"strings"
)

// checkStages looks at each stage alone, and at the names in it.
func (c *checker) checkStages() {
	for i := range c.g.Stages {
		s := &c.g.Stages[i]
		c.checkWork(s)
		c.checkProxies(s)
		for i, name := range s.Next {
			if _, ok := c.paths.index[name]; !ok && name != "" {
				c.add(s.below(s.Position, fmt.Sprintf(".next[%d]", i),
					fmt.Sprintf("there is no stage %q", name), c.hint(name, c.paths.names)))
			}
		}
		if s.MaxVisits > c.g.Limits.MaxHops {
			c.warn(s.below(s.Position, ".max_visits", fmt.Sprintf("jobs end before, at limits.max_hops, %d", c.g.Limits.MaxHops), "raise max_hops too"))
		}
	}
}

// checkWork wants to know who works, and nothing that does not fit to it.
func (c *checker) checkWork(s *Stage) {
	add := func(rest, message, hint string) { c.add(s.below(s.Position, rest, message, hint)) }
	who := s.workers()
	switch {
	case len(who) == 0 && !s.flawed:
		add("", "nobody works here", "name a worker or a command, or write external: true where workers are started elsewhere")
	case len(who) > 1 && s.has(".compat"):
		add(".compat", strings.Join(who, " and ")+" exclude one another", "prime_server's workers are started elsewhere, and connect")
	case len(who) > 1:
		add("."+who[1], strings.Join(who, " and ")+" exclude one another", "make it two stages")
	}
	if s.Worker != "" && c.o.Workers != nil && !slices.Contains(c.o.Workers, s.Worker) {
		add(".worker", fmt.Sprintf("there is no worker %q", s.Worker), c.hint(s.Worker, c.o.Workers))
	}
	c.checkWorkers(s, len(who) > 0)
}

// checkWorkers looks at keys that are for certain workers only. known says that
// the stage has some.
func (c *checker) checkWorkers(s *Stage, known bool) {
	add := func(rest, message, hint string) { c.add(s.below(s.Position, rest, message, hint)) }
	if s.has(".env") && !s.has(".command") {
		add(".env", "it is for command, which is missing", "")
	}
	if s.has(".max_age") && !s.has(".command") {
		add(".max_age", "it is for command, which is missing", "handlers and workers that others start are not replaced")
	}
	if s.has(".max_hung") && (!s.has(".worker") || !s.has(".timeout")) && !s.flawed {
		add(".max_hung", "it is for a worker with a timeout", "write worker and timeout, or leave it out")
	}
	if s.has(".count") && known && !s.has(".worker") && !s.has(".command") {
		add(".count", "it is for worker or command", "who starts the workers chooses how many")
	}
}

// workers returns the keys that say who works.
func (s *Stage) workers() []string {
	var who []string
	for _, key := range [...]string{"worker", "command", "compat", "external"} {
		if s.has("."+key) && (key != "external" || s.External) {
			who = append(who, key)
		}
	}
	return who
}
