package daemon

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// byteSize is a flag for a number of bytes, like 10MiB or 4096.
type byteSize int64

// String implements pflag.Value.
func (b *byteSize) String() string { return strings.ReplaceAll(humanize.IBytes(uint64(*b)), " ", "") }

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is no size: want bytes, or a number with KiB, MiB or GiB", s)
	}
	*b = byteSize(n)
	return nil
}

// endpoint is a flag for one ZeroMQ endpoint.
type endpoint string

// String implements pflag.Value.
func (e *endpoint) String() string { return string(*e) }

// Type implements pflag.Value.
func (e *endpoint) Type() string { return "endpoint" }

// Set implements pflag.Value.
func (e *endpoint) Set(s string) error {
	if err := cluster.CheckEndpoint(s); err != nil {
		return err
	}
	*e = endpoint(s)
	return nil
}

// endpoints is a flag for several endpoints.
type endpoints []string

// String implements pflag.Value.
func (e *endpoints) String() string { return strings.Join(*e, ",") }

// Type implements pflag.Value.
func (e *endpoints) Type() string { return "endpoint" }

// Set implements pflag.Value.
func (e *endpoints) Set(s string) error {
	if err := cluster.CheckEndpoint(s); err != nil {
		return err
	}
	*e = append(*e, s)
	return nil
}

// proxies is a flag for the endpoint of a stage's proxy, or of several, with
// commas between or the flag repeated.
type proxies []string

// String implements pflag.Value.
func (p *proxies) String() string { return strings.Join(*p, ",") }

// Type implements pflag.Value.
func (p *proxies) Type() string { return "endpoint" }

// Set implements pflag.Value.
func (p *proxies) Set(s string) error {
	all, err := splitProxies(s)
	*p = append(*p, all...)
	return err
}

// splitProxies reads endpoints with commas between.
func splitProxies(s string) ([]string, error) {
	all := loopback.Endpoints(s)
	for _, e := range all {
		if err := cluster.CheckEndpoint(e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// watched is a flag for the proxies of other stages: each time those of one.
type watched []string

// String implements pflag.Value.
func (w *watched) String() string { return strings.Join(*w, " ") }

// Type implements pflag.Value.
func (w *watched) Type() string { return "endpoint" }

// Set implements pflag.Value.
func (w *watched) Set(s string) error {
	all, err := splitProxies(s)
	if err == nil {
		*w = append(*w, strings.Join(all, ","))
	}
	return err
}

// nextProxies is a flag for the proxies of next stages: [STAGE=]ENDPOINT, several
// of one with commas between or the flag repeated.
type nextProxies map[string]string

// String implements pflag.Value.
func (n *nextProxies) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(*n)) {
		parts = append(parts, name+"="+(*n)[name])
	}
	return strings.Join(parts, " ")
}

// Type implements pflag.Value.
func (n *nextProxies) Type() string { return "[stage=]endpoint" }

// Set implements pflag.Value.
func (n *nextProxies) Set(s string) error {
	name, at := named(s)
	all, err := splitProxies(at)
	if err != nil {
		return err
	}
	if *n == nil {
		*n = make(nextProxies)
	}
	if before := (*n)[name]; before != "" {
		all = append([]string{before}, all...)
	}
	(*n)[name] = strings.Join(all, ",")
	return nil
}

// named splits a value that may begin with a name.
func named(s string) (name, at string) {
	if before, after, named := strings.Cut(s, "="); named && !strings.Contains(before, "://") {
		return before, after
	}
	return "", s
}

// namedEndpoints is a flag for several endpoints, each with a name if there is
// more than one: [NAME=]ENDPOINT.
type namedEndpoints struct {
	names  []string
	byName map[string]string
}

// String implements pflag.Value.
func (e *namedEndpoints) String() string {
	var parts []string
	for _, n := range e.names {
		parts = append(parts, n+"="+e.byName[n])
	}
	return strings.Join(parts, ",")
}

// Type implements pflag.Value.
func (e *namedEndpoints) Type() string { return "[name=]endpoint" }

// Set implements pflag.Value.
func (e *namedEndpoints) Set(s string) error {
	name, at := named(s)
	if err := cluster.CheckEndpoint(at); err != nil {
		return err
	}
	if _, twice := e.byName[name]; twice {
		return fmt.Errorf("the name %q is there twice: write NAME=%s with another name", name, at)
	}
	if e.byName == nil {
		e.byName = make(map[string]string)
	}
	e.names = append(e.names, name)
	e.byName[name] = at
	return nil
}

// choice is a flag for one of some words, each of which stands for its place.
type choice[T ~uint8] struct {
	names  []string
	chosen T
}

// String implements pflag.Value.
func (c *choice[T]) String() string {
	if int(c.chosen) >= len(c.names) { // pflag's zero value
		return ""
	}
	return c.names[c.chosen]
}

// Type implements pflag.Value.
func (c *choice[T]) Type() string { return "which" }

// Set implements pflag.Value.
func (c *choice[T]) Set(s string) error {
	i := slices.Index(c.names, s)
	if i < 0 {
		return fmt.Errorf("want %s", strings.Join(c.names, ", "))
	}
	c.chosen = T(i)
	return nil
}

func repeatChoice() choice[cluster.Repeat] {
	return choice[cluster.Repeat]{names: []string{cluster.RepeatSafe: "safe", cluster.RepeatAlways: "always", cluster.RepeatNever: "never"}}
}

func admissionChoice() choice[cluster.Admission] {
	return choice[cluster.Admission]{
		names:  []string{cluster.AdmitQueue: "queue", cluster.AdmitDeadline: "deadline"},
		chosen: cluster.AdmitDeadline,
	}
}

func noWorkersChoice() choice[cluster.NoWorkers] {
	return choice[cluster.NoWorkers]{names: []string{cluster.NoWorkersWait: "wait", cluster.NoWorkersRefuse: "refuse"}}
}
