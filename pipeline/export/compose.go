package export

import (
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Compose returns a file for docker compose, with a service for each front, for
// the proxy and for the workers of each stage. Several of a front are services
// of their own, at ports that follow one another.
func Compose(g *graph.Graph, c Config) ([]File, error) {
	p, f := newPlan(g, c)
	p.containers(f)
	d := &compose{plan: p}
	fronts, replicas := d.fronts(f)
	if err := f.err(); err != nil {
		return nil, err
	}
	graphFile, err := encode(path.Base(containerGraph), p.rewrite(replicas, d.proxyHost))
	if err != nil {
		return nil, err
	}
	v := composeView{Name: p.Name, GraphFile: graphFile.Name, Graph: containerGraph, Fronts: fronts}
	for _, s := range p.Stages {
		v.Stages = append(v.Stages, d.stage(s))
	}
	file, err := render("compose.yaml", "compose.yaml", v)
	return []File{file, graphFile}, err
}

type compose struct{ *plan }

func (d *compose) proxyHost(p proxyPart) string { return p.Part }

type composeView struct {
	Name, GraphFile, Graph string
	Fronts                 []composeFront
	Stages                 []composeStage
}

// service is a service of the file.
type service struct {
	Part string
	run
}

type composeFront struct {
	service
	Port   string // HOST:PORT:PORT as compose has it
	Health string // URL to ask inside the container; "" is none
}

type composeStage struct {
	Proxies              []service
	Workers              service
	Health               string
	Own, Command, MadeUp bool
	Stage                string
}

// fronts returns the services of fronts, and the fronts of the new graph.
func (d *compose) fronts(f *faults) ([]composeFront, []replica) {
	var services []composeFront
	var replicas []replica
	taken := make(map[string]string) // ports of the machine, by whom
	for i := range d.Fronts {
		own := &d.Fronts[i]
		if d.Config.Replicas > 1 {
			own.checkReplica(d.Config.Replicas-1, f)
		}
		for n := range d.Config.Replicas {
			name, part := own.Name, own.Part
			if d.Config.Replicas > 1 {
				name, part = own.replicaName(n), own.Part+"-"+strconv.Itoa(n)
			}
			replicas = append(replicas, replica{own, name, part})
			services = append(services, composeFront{
				service: service{part, d.frontRun(own, name)},
				Port:    d.port(f, own, n, taken),
				Health:  health(own.Front),
			})
		}
	}
	return services, replicas
}

// port returns where the n-th of a front is reached from outside. The address
// is that of the graph: what listens on the machine itself stays there.
func (d *compose) port(f *faults, own *front, n int, taken map[string]string) string {
	host, _, _ := net.SplitHostPort(own.Listen)
	port := published(own.Front) + n
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	path := own.path + ".listen"
	switch ip := net.ParseIP(host); {
	case host != "" && ip == nil:
		f.at(own.Position, path, "write the address", "docker publishes ports at IP addresses, not at %q", host)
	case port > 65535:
		f.at(own.Position, path, "choose a smaller one, or fewer --fronts", "there is no port %d for replica %d", port, n)
	case taken[strconv.Itoa(port)] != "":
		f.at(own.Position, path, "choose ports further apart", "the port %d of replica %d is already that of %s", port, n, taken[strconv.Itoa(port)])
	}
	taken[strconv.Itoa(port)] = own.path
	target := listening(own.Front)
	if host == "" {
		return fmt.Sprintf("%d:%d", port, target)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d:%d", host, port, target)
}

// health returns what to ask a front, with dollar signs as compose wants them.
func health(f *graph.Front) string {
	at := f.Ready
	if at == "" {
		at = f.Live
	}
	host := net.JoinHostPort("127.0.0.1", strconv.Itoa(listening(f)))
	if at == "" || f.RequiresCertificate() {
		return "tcp://" + host
	}
	return strings.ReplaceAll(f.Scheme()+"://"+host+at, "$", "$$")
}

func (d *compose) stage(s stage) composeStage {
	image, madeUp := d.image(s)
	var proxies []service
	for _, p := range s.Proxies {
		proxies = append(proxies, service{p.Part, d.run(d.Image, p.Role, s.memory())})
	}
	return composeStage{
		Stage:   s.Name,
		Proxies: proxies,
		Workers: service{"workers-" + s.Label, d.run(image, graph.Role{Kind: graph.RoleWorkers, Name: s.Name}, workerMemory)},
		Health:  fmt.Sprintf("tcp://127.0.0.1:%d", upstreamPort),
		Own:     s.Own, Command: len(s.Command) > 0, MadeUp: madeUp,
	}
}
