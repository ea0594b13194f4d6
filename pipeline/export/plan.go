package export

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// plan is a graph with the names of its parts, checked: what every target
// starts from.
type plan struct {
	Config
	g      *graph.Graph
	Fronts []front
	Stages []stage
	// Stop is how long a part may take to stop, in seconds. All have as long as
	// the slowest front.
	Stop int
}

// front is a front of the graph.
type front struct {
	*graph.Front
	// Part is its name behind the plan's: front, or front-east.
	Part string
	path string // in the graph's file
}

// stage is a stage of the graph.
type stage struct {
	*graph.Stage
	// Label is its name as a DNS label.
	Label string
	// Own says that its workers are started by us.
	Own bool
	// Proxies are its proxies, one at least.
	Proxies []proxyPart
}

// proxyPart is a proxy of a stage.
type proxyPart struct {
	// Part is its name behind the plan's: proxy-parse, or proxy-parse-1 of several.
	Part string
	Role graph.Role
	At   graph.Pair
}

// proxies returns the parts of a stage's proxies.
func proxies(s *graph.Stage, label string) []proxyPart {
	pairs := s.Pairs()
	parts := make([]proxyPart, len(pairs))
	for i := range pairs {
		parts[i] = proxyPart{"proxy-" + label, graph.Role{Kind: graph.RoleProxy, Name: s.Name}, pairs[i]}
		if len(pairs) > 1 {
			parts[i].Part += "-" + strconv.Itoa(i+1)
			parts[i].Role.Number = i + 1
		}
	}
	return parts
}

// newPlan names the parts of a graph, and finds what no target can do.
func newPlan(g *graph.Graph, c Config) (*plan, *faults) {
	p, f := &plan{Config: c, g: g}, &faults{}
	p.Name = label(c.Name)
	switch {
	case p.Name == "" || '0' <= p.Name[0] && p.Name[0] <= '9':
		f.flag("--name", "", "%q: want a name that begins with a letter", c.Name)
	case len(p.Name) > maxName:
		f.flag("--name", "choose a shorter one", "%q has %d bytes, at most %d are allowed", p.Name, len(p.Name), maxName)
	}
	if !binaryForm.MatchString(c.Binary) {
		f.flag("--binary", "", "%q: want an absolute path of letters, digits and . _ + @ -", c.Binary)
	}
	p.Config.Replicas = max(c.Replicas, 1)
	if most := MaxFronts / max(len(g.Fronts), 1); p.Config.Replicas > most {
		f.flag("--fronts", "", "%d are too many: at most %d for each front of the graph", c.Replicas, most)
		p.Config.Replicas = most
	}
	p.nameFronts(f)
	p.nameStages(f)
	return p, f
}

func (p *plan) nameFronts(f *faults) {
	seen := make(map[string]string)
	for i := range p.g.Fronts {
		own := front{Front: &p.g.Fronts[i], Part: "front", path: "front"}
		if len(p.g.Fronts) > 1 || own.Name != "front" {
			own.Part += "-" + label(own.Name)
			own.path = "fronts." + own.Name
		}
		p.Stop = max(p.Stop, stopSeconds(own.DrainTimeout))
		p.name(f, seen, own.Position, own.path, own.Name, own.Part)
		p.Fronts = append(p.Fronts, own)
	}
}

func (p *plan) nameStages(f *faults) {
	seen := make(map[string]string)
	for i := range p.g.Stages {
		own := stage{Stage: &p.g.Stages[i], Label: label(p.g.Stages[i].Name)}
		own.Own = !own.External && own.Compat == ""
		own.Proxies = proxies(own.Stage, own.Label)
		if p.name(f, seen, own.Position, "stages."+own.Name, own.Name, "workers-"+own.Label) {
			for _, proxy := range own.Proxies {
				p.name(f, seen, own.Position, "stages."+own.Name, own.Name, proxy.Part)
			}
		}
		p.Stages = append(p.Stages, own)
	}
}

// name checks the name of a part against those before it.
func (p *plan) name(f *faults, seen map[string]string, at graph.Position, path, name, part string) (good bool) {
	if first, twice := seen[part]; twice {
		f.at(at, path, "rename one of them", "%q and %q both become %s, as names of parts are made of small letters, digits and dashes", first, name, part)
		return false
	}
	seen[part] = name
	if n := len(p.Name) + 1 + len(part); n > maxLabel {
		f.at(at, path, "rename it, or choose a shorter --name", "the name %s-%s has %d bytes, at most %d are allowed", p.Name, part, n, maxLabel)
		return false
	}
	return true
}

// containers checks what is asked of containers alone.
func (p *plan) containers(f *faults) {
	if !imageForm.MatchString(p.Image) {
		f.flag("--image", "", "%q is no image: want one like registry.example/%s:1.0", p.Image, p.Name)
	}
	for _, name := range sorted(p.Images) {
		i := slices.IndexFunc(p.Stages, func(s stage) bool { return s.Name == name })
		switch {
		case i < 0:
			f.flag("--image-of", "", "there is no stage %q", name)
		case !p.Stages[i].Own:
			f.flag("--image-of", "", "the workers of stage %q are started elsewhere", name)
		case !imageForm.MatchString(p.Images[name]):
			f.flag("--image-of", "", "%q of stage %q is no image", p.Images[name], name)
		}
	}
	if p.Config.Replicas > 1 {
		for _, s := range p.Stages {
			if s.Compat != "" {
				f.at(s.Position, "stages."+s.Name+".compat", "leave --fronts out", "prime_server's workers serve one front, not %d", p.Config.Replicas)
			}
		}
	}
}

// margin is how long beyond the time to drain a process may take: its hard stop
// comes within, and nothing kills it before.
const margin = 5 * time.Second

// defaultDrain is that of the command line.
const defaultDrain = 28 * time.Second

// stopSeconds is how long a part that drains for d may take to stop.
func stopSeconds(d time.Duration) int {
	if d == 0 {
		d = defaultDrain
	}
	return int(math.Ceil((min(d, maxStop) + margin).Seconds()))
}

// maxStop keeps what is meant as for ever within what fits everywhere.
const maxStop = 30 * 24 * time.Hour
