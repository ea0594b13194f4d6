package export

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Ports inside containers. Each container has all ports to itself: the same
// ones for every stage let the parts of an older and a newer graph meet while
// one replaces the other.
const (
	loopbackPort   = 7101
	interruptPort  = 7102
	upstreamPort   = 7201
	downstreamPort = 7202
	httpPort       = 8002 // of a front that listens at any free port
	metricsPort    = 9464 // where the graph names none
)

// metrics returns the port for metrics inside every container: that of the graph
// unless only root may have it, or something else has it somewhere.
func (p *plan) metrics() int {
	_, text, _ := net.SplitHostPort(p.g.Metrics.Listen)
	port, _ := strconv.Atoi(text)
	if port < 1024 {
		port = metricsPort
	}
	taken := []int{loopbackPort, interruptPort, upstreamPort, downstreamPort}
	for i := range p.Fronts {
		taken = append(taken, listening(p.Fronts[i].Front))
	}
	for slices.Contains(taken, port) {
		port++
	}
	return port
}

// listening returns the port for HTTP inside the container: that of the file
// unless only root may have it, or it is taken.
func listening(f *graph.Front) int {
	_, text, _ := net.SplitHostPort(f.Listen)
	switch port, _ := strconv.Atoi(text); {
	case port == 0:
		return httpPort
	case port < 1024 || port == loopbackPort || port == interruptPort:
		return port + 8000
	default:
		return port
	}
}

// published returns the port for HTTP that clients know.
func published(f *graph.Front) int {
	_, text, _ := net.SplitHostPort(f.Listen)
	if port, _ := strconv.Atoi(text); port != 0 {
		return port
	}
	return httpPort
}

// replica is one of several that serve like a front of the graph.
type replica struct {
	of   *front
	Name string // in the graph
	Host string // where the others find it
}

// rewrite returns the graph as containers have it: endpoints at hosts of their
// network, fronts by their replicas, certificates at one place, logs to the
// standard output, and metrics where a flag says it, since there are no other
// parts beside one. host returns the host of a proxy. Whoever is not of the
// service is kept out of plain endpoints by that network.
func (p *plan) rewrite(replicas []replica, host func(proxyPart) string) *graph.Graph {
	g := *p.g
	g.Fronts, g.Stages = nil, slices.Clone(p.g.Stages)
	g.Network, g.MTLS = graph.NetworkPrivate, certificates(p.g.MTLS)
	g.Metrics = graph.Metrics{}
	for _, r := range replicas {
		f := *r.of.Front
		f.Name = r.Name
		f.Listen = fmt.Sprintf(":%d", listening(&f))
		f.Loopback = endpoint(f.Loopback, r.Host, loopbackPort)
		f.Interrupt = endpoint(f.Interrupt, r.Host, interruptPort)
		f.MTLS.Cert, f.MTLS.Key = "", ""
		if f.AccessLog != "" {
			f.AccessLog = "-"
		}
		g.Fronts = append(g.Fronts, f)
	}
	for i, s := range p.Stages {
		var pairs []graph.Pair
		for _, proxy := range s.Proxies {
			at := host(proxy)
			pairs = append(pairs, graph.Pair{Upstream: endpoint(s.Upstream, at, upstreamPort), Downstream: endpoint(s.Downstream, at, downstreamPort)})
		}
		own := g.Stages[i].MTLS
		g.Stages[i] = g.Stages[i].WithPairs(pairs)
		g.Stages[i].MTLS = graph.StageMTLS{Proxy: graph.Holder{Names: own.Proxy.Names}, Workers: graph.Holder{Names: own.Workers.Names}}
	}
	return &g
}

// endpoint returns an endpoint for containers in place of another one.
func endpoint(of graph.Endpoint, host string, port int) graph.Endpoint {
	scheme := "tcp"
	if of.Secure() {
		scheme = "tls+tcp"
	}
	return graph.Endpoint{Bind: fmt.Sprintf("%s://*:%d", scheme, port), Connect: fmt.Sprintf("%s://%s:%d", scheme, host, port)}
}

// replicaName returns the name of the n-th replica of a front.
func (f *front) replicaName(n int) string { return f.Name + "-" + strconv.Itoa(n) }

// checkReplica reports the name of the n-th replica if it is too long.
func (f *front) checkReplica(n int, to *faults) {
	if name := f.replicaName(n); len(name) > maxFrontName {
		to.at(f.Position, f.path, "rename it", "the name %s of a replica has %d bytes, at most %d are allowed", name, len(name), maxFrontName)
	}
}

// Bounds of memory, in MiB.
const (
	baseMemory   = 128 // a process with nothing to do, and its code, several times over
	workerMemory = 512 // what handlers need is not known here
	connMemory   = 16  // KiB of a client's connection
)

// Defaults of what the graph leaves out, as in its schema.
const (
	defaultPending = 256 << 20
	defaultConns   = 10_000
	defaultQueue   = 1 << 30
	defaultForward = 512 << 20
)

// memory returns what a front may take, in MiB: what it holds at most, and half
// as much again, which the garbage collector needs to come round.
func (f *front) memory() int {
	conns := f.MaxConns
	if conns == 0 {
		conns = defaultConns
	}
	return held(f.MaxPendingBytes, defaultPending) + ceil(int64(conns)*connMemory, 1<<10)
}

// memory returns what the stage's proxy may take, in MiB.
func (s *stage) memory() int {
	forwarded := cmp.Or(s.MaxForwardedBytes, defaultForward)
	return held(min(cmp.Or(s.MaxQueueBytes, defaultQueue), maxMemory)+min(forwarded, maxMemory), 0)
}

func held(most, standard graph.Size) int {
	if most == 0 {
		most = standard
	}
	most = min(most, maxMemory)
	return baseMemory + ceil(int64(most+most/2), 1<<20)
}

// maxMemory bounds what is asked for where the graph means no bound: 1 TiB.
const maxMemory = 1 << 40

func ceil(n, unit int64) int { return int((n + unit - 1) / unit) }
