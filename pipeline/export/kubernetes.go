package export

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Kubernetes returns a kustomize set: fronts as StatefulSets, a Deployment for
// each proxy and one for the workers of each stage, with what belongs to them.
// Each replica of a front is a front of the graph: it has to be exported anew
// to change their number.
func Kubernetes(g *graph.Graph, c Config) ([]File, error) {
	p, f := newPlan(g, c)
	p.containers(f)
	k := &kubernetes{plan: p}
	replicas := k.replicas(f)
	if err := f.err(); err != nil {
		return nil, err
	}
	graphFile, err := encode(path.Base(containerGraph), p.rewrite(replicas, k.proxyHost))
	if err != nil {
		return nil, err
	}
	files := []File{graphFile}
	for i := range p.Fronts {
		file, err := render(p.Fronts[i].Part+".yaml", "kubernetes-front.yaml", k.frontView(&p.Fronts[i]))
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	for _, s := range p.Stages {
		file, err := render("stage-"+s.Label+".yaml", "kubernetes-stage.yaml", k.stageView(s))
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	set, err := render("kustomization.yaml", "kubernetes-kustomization.yaml", setView{k.Name, names(files[1:]), graphFile.Name})
	return append([]File{set}, files...), err
}

type kubernetes struct{ *plan }

// replicas returns the fronts of the new graph: the pods of the StatefulSets,
// which are told their numbers.
func (k *kubernetes) replicas(f *faults) []replica {
	var all []replica
	for i := range k.Fronts {
		own := &k.Fronts[i]
		set := k.Name + "-" + own.Part
		if last := fmt.Sprintf("%s-%d", set, k.Config.Replicas-1); len(set) > maxSet || len(last) > maxLabel {
			f.at(own.Position, own.path, "rename it, or choose a shorter --name", "the name %s has %d bytes, at most %d are allowed of a StatefulSet", set, len(set), maxSet)
		}
		own.checkReplica(k.Config.Replicas-1, f)
		for n := range k.Config.Replicas {
			all = append(all, replica{own, own.replicaName(n), fmt.Sprintf("%s-%d.%s", set, n, set)})
		}
	}
	return all
}

func (k *kubernetes) proxyHost(p proxyPart) string { return k.Name + "-" + p.Part }

// setView is what the kustomization is made of.
type setView struct {
	Name      string
	Resources []string
	Graph     string
}

// pods are pods that run one part, or are meant to.
type pods struct {
	Service   string // label of all that belongs to the graph
	Component string // label of the part
	Scraped   bool   // by what the pods say themselves, since no service finds them
	run
}

// Name is that of the object that makes the pods, and of what belongs to it.
func (p pods) Name() string { return p.Service + "-" + p.Component }

// GraphDir is where the graph's file is in the pods.
func (pods) GraphDir() string { return path.Dir(containerGraph) }

func (k *kubernetes) pods(component string, r run) pods { return pods{k.Name, component, false, r} }

// drainDelay is how long a pod goes on to serve once it has to end, in seconds:
// until no more requests are sent there.
const drainDelay = 5

type frontView struct {
	pods
	Web                 string // name of the service for clients
	Replicas            int
	HTTP, Published     int
	Loopback, Interrupt int
	Live, Ready         ask
	DrainDelay          int
}

// ask is how a front is asked whether it serves: by a path, or "" and by its
// port alone.
type ask struct{ Path, Scheme string }

// askOf returns how a front is asked. Who has no certificate gets no answer
// from one that requires it.
func askOf(f *graph.Front, path string) ask {
	if f.RequiresCertificate() {
		return ask{}
	}
	return ask{path, strings.ToUpper(f.Scheme())}
}

func (k *kubernetes) frontView(f *front) frontView {
	v := frontView{
		pods:     k.pods(f.Part, k.frontRun(f, f.Name+"-$(POD_INDEX)")),
		Web:      k.Name + "-http" + strings.TrimPrefix(f.Part, "front"),
		Replicas: k.Config.Replicas,
		HTTP:     listening(f.Front), Published: published(f.Front),
		Loopback: loopbackPort, Interrupt: interruptPort,
		Live: askOf(f.Front, f.Live), Ready: askOf(f.Front, f.Ready),
		DrainDelay: drainDelay,
	}
	v.Stop += drainDelay
	return v
}

// queueMetric is the number of jobs that wait in the queue of a stage.
const queueMetric = "butterfly_stage_queued"

type stageView struct {
	Stage                string
	Proxies              []pods
	Workers              pods
	Upstream, Downstream int
	Own, Command, MadeUp bool // whose workers, which kind, and whose image
	Metric               string
	Waiting              int // jobs in the queue of a proxy, for each pod of workers
}

// waiting is how many jobs may wait for each pod of workers before there are more.
const waiting = 10

func (k *kubernetes) stageView(s stage) stageView {
	image, madeUp := k.image(s)
	var proxies []pods
	for _, p := range s.Proxies {
		proxies = append(proxies, k.pods(p.Part, k.run(k.Image, p.Role, s.memory())))
	}
	workers := k.pods("workers-"+s.Label, k.run(image, graph.Role{Kind: graph.RoleWorkers, Name: s.Name}, workerMemory))
	workers.Scraped = true
	return stageView{
		Stage:    s.Name,
		Proxies:  proxies,
		Workers:  workers,
		Upstream: upstreamPort, Downstream: downstreamPort,
		Own: s.Own, Command: len(s.Command) > 0, MadeUp: madeUp,
		Metric:  queueMetric,
		Waiting: max(1, waiting/len(s.Proxies)),
	}
}

func names(files []File) []string {
	all := make([]string, len(files))
	for i, f := range files {
		all[i] = f.Name
	}
	return all
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
