package export_test

import (
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

func TestKubernetesObjectsFindOneAnother(t *testing.T) {
	onEach(t, "kubernetes", func(t *testing.T, name string, _ *graph.Graph, files map[string][]byte) {
		o := decodeSet(t, files)
		for _, w := range o.workloads() {
			assert.Equal(t, w.name, o.selected(t, selector(t, w.selector), w.name).name)
		}
		for _, s := range o.services {
			w := o.selected(t, labels.SelectorFromSet(s.Spec.Selector), s.Name)
			for _, p := range s.Spec.Ports {
				inside := w.port(t, p.TargetPort.StrVal)
				if s.Spec.ClusterIP == core.ClusterIPNone {
					assert.EqualValues(t, inside, p.Port, "clients of %s get the pod's address, and no port is mapped", s.Name)
				}
			}
		}
		for _, s := range o.fronts {
			assert.Contains(t, o.services, s.Spec.ServiceName)
			assert.Equal(t, core.ClusterIPNone, o.services[s.Spec.ServiceName].Spec.ClusterIP)
			assert.True(t, o.services[s.Spec.ServiceName].Spec.PublishNotReadyAddresses)
			assert.LessOrEqual(t, len(s.Name), 52, "a label gets a hash behind it")
			assert.Contains(t, o.budgets, s.Name)
		}
		for _, b := range o.budgets {
			assert.Equal(t, b.Name, o.selected(t, selector(t, b.Spec.Selector), b.Name).name)
			assert.Nil(t, b.Spec.MinAvailable)
			assert.Equal(t, 1, b.Spec.MaxUnavailable.IntValue(), "nodes can be drained")
		}
		for _, w := range o.workloads() {
			p, ok := o.policies[w.name]
			require.True(t, ok, w.name)
			assert.Equal(t, w.name, o.selected(t, selector(t, &p.Spec.PodSelector), p.Name).name)
		}
	})
}

// Only HTTP is open to everybody, and metrics to the cluster.
func TestKubernetesPoliciesLetTheGraphIn(t *testing.T) {
	onEach(t, "kubernetes", func(t *testing.T, name string, _ *graph.Graph, files map[string][]byte) {
		o := decodeSet(t, files)
		for _, w := range o.workloads() {
			p := o.policies[w.name]
			assert.Equal(t, []networking.PolicyType{networking.PolicyTypeIngress}, p.Spec.PolicyTypes)
			open := make(map[int]bool) // ports, and whether to everybody
			for _, rule := range p.Spec.Ingress {
				for _, port := range rule.Ports {
					open[w.port(t, port.Port.StrVal)] = len(rule.From) == 0
				}
				for _, from := range rule.From {
					if from.PodSelector == nil {
						assert.Equal(t, &meta.LabelSelector{}, from.NamespaceSelector, w.name)
						assert.Len(t, rule.Ports, 1)
						assert.Equal(t, "metrics", rule.Ports[0].Port.StrVal, "%s: port open to the cluster", w.name)
						continue
					}
					by := selector(t, from.PodSelector)
					for _, other := range o.workloads() {
						assert.True(t, by.Matches(labels.Set(other.pod.Labels)), "%s lets %s in", w.name, other.name)
					}
					assert.False(t, by.Matches(labels.Set{"app.kubernetes.io/part-of": "another"}))
				}
			}
			for _, port := range w.container().Ports {
				everybody, in := open[int(port.ContainerPort)]
				assert.True(t, in, "%s: nobody gets to port %s", w.name, port.Name)
				assert.Equal(t, port.Name == "http", everybody, "%s: port %s", w.name, port.Name)
			}
		}
	})
}

var inArgs = regexp.MustCompile(`\$\(([A-Z_]+)\)`)

// roles returns the workloads by the roles that their pods run.
func (o *objects) roles(t *testing.T) map[string]workload {
	t.Helper()
	all := make(map[string]workload)
	for _, w := range o.workloads() {
		args := w.container().Args
		require.Len(t, args, 6)
		assert.Equal(t, []string{"run", "--role"}, []string{args[0], args[2]})
		for n := range w.replicas {
			role := inArgs.ReplaceAllStringFunc(args[3], func(ref string) string {
				for _, e := range w.container().Env {
					if ref == "$("+e.Name+")" {
						assert.Equal(t, "metadata.labels['apps.kubernetes.io/pod-index']", e.ValueFrom.FieldRef.FieldPath)
						return strconv.Itoa(n)
					}
				}
				return ref
			})
			assert.NotContains(t, all, role)
			all[role] = w
		}
	}
	return all
}

func TestKubernetesRunsTheWholeGraph(t *testing.T) {
	onEach(t, "kubernetes", func(t *testing.T, name string, from *graph.Graph, files map[string][]byte) {
		o := decodeSet(t, files)
		g := separate(t, files["graph.yaml"])
		roles := o.roles(t)
		assert.ElementsMatch(t, rolesOf(g), keys(roles))
		assert.Len(t, g.Fronts, 2*len(from.Fronts))
		assertSameButForPlaces(t, from, g)

		for _, w := range o.workloads() {
			c := w.container()
			assert.Equal(t, "graph", c.VolumeMounts[0].Name)
			require.Equal(t, "graph", w.pod.Spec.Volumes[0].Name)
			assert.Equal(t, o.set.ConfigMapGenerator[0].Name, w.pod.Spec.Volumes[0].ConfigMap.Name)
			assert.Equal(t, path.Join(c.VolumeMounts[0].MountPath, o.set.ConfigMapGenerator[0].Files[0]), c.Args[1])
		}
		for role, bound := range endpoints(t, g) {
			w := roles[role]
			for _, e := range bound {
				assert.Equal(t, w.name, o.reached(t, e), role)
			}
		}
		for _, f := range g.Fronts {
			_, port, err := net.SplitHostPort(f.Listen)
			require.NoError(t, err)
			w := roles["front:"+f.Name]
			assert.Equal(t, strconv.Itoa(w.port(t, "http")), port)
			assert.GreaterOrEqual(t, w.port(t, "http"), 1024, "only root has the others")
			assert.Contains(t, []string{"", "-"}, f.AccessLog)
		}
	})
}

// reached returns the workload whose pods are behind an endpoint.
func (o *objects) reached(t *testing.T, e graph.Endpoint) string {
	t.Helper()
	host, port := hostPort(t, e)
	pod, service, isPod := strings.Cut(host, ".")
	if !isPod {
		service = host
	}
	s, ok := o.services[service]
	require.True(t, ok, "%s: there is no service %s", e.Connect, service)
	assert.Equal(t, core.ClusterIPNone, s.Spec.ClusterIP)
	assert.True(t, slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return strconv.Itoa(int(p.Port)) == port }), e.Connect)
	w := o.selected(t, labels.SelectorFromSet(s.Spec.Selector), e.Connect)
	if isPod {
		set := o.fronts[w.name]
		assert.Equal(t, service, set.Spec.ServiceName)
		n, err := strconv.Atoi(strings.TrimPrefix(pod, w.name+"-"))
		require.NoError(t, err, pod)
		assert.Less(t, n, int(*set.Spec.Replicas))
	}
	return w.name
}

func TestKubernetesPodsDrainAndAreConfined(t *testing.T) {
	onEach(t, "kubernetes", func(t *testing.T, name string, from *graph.Graph, files map[string][]byte) {
		o := decodeSet(t, files)
		for _, w := range o.workloads() {
			spec, c := w.pod.Spec, w.container()
			wait := time.Duration(0)
			if c.Lifecycle != nil {
				wait = time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
			}
			assertGrace(t, time.Duration(*spec.TerminationGracePeriodSeconds)*time.Second-wait, from)
			assert.False(t, *spec.AutomountServiceAccountToken)
			assert.True(t, *spec.SecurityContext.RunAsNonRoot)
			assert.NotZero(t, *spec.SecurityContext.RunAsUser)
			assert.Equal(t, core.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type)
			assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
			assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
			assert.Equal(t, &core.Capabilities{Drop: []core.Capability{"ALL"}}, c.SecurityContext.Capabilities)

			assert.False(t, c.Resources.Requests.Cpu().IsZero())
			assert.LessOrEqual(t, c.Resources.Requests.Memory().Cmp(*c.Resources.Limits.Memory()), 0)
			var soft int64
			_, err := fmt.Sscanf(c.Env[len(c.Env)-1].Value, "%dMiB", &soft)
			require.NoError(t, err)
			assert.Less(t, soft<<20, c.Resources.Limits.Memory().Value())
			for _, p := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if strings.HasPrefix(w.name, name+"-workers-") {
					assert.Nil(t, p)
					continue
				}
				require.NotNil(t, p, w.name)
				if p.HTTPGet != nil {
					w.port(t, p.HTTPGet.Port.StrVal)
				} else {
					w.port(t, p.TCPSocket.Port.StrVal)
				}
			}
		}
	})
}

func TestKubernetesAsksTheHealthPathsOfTheGraph(t *testing.T) {
	onEach(t, "kubernetes", func(t *testing.T, name string, _ *graph.Graph, files map[string][]byte) {
		o := decodeSet(t, files)
		roles := o.roles(t)
		for _, f := range separate(t, files["graph.yaml"]).Fronts {
			w := roles["front:"+f.Name]
			c := w.container()
			for probe, path := range map[*core.Probe]string{c.StartupProbe: f.Live, c.LivenessProbe: f.Live, c.ReadinessProbe: f.Ready} {
				if path == "" {
					assert.Nil(t, probe.HTTPGet)
					continue
				}
				if f.TLS.ClientCA != "" {
					assert.Nil(t, probe.HTTPGet)
					continue
				}
				require.NotNil(t, probe.HTTPGet)
				assert.Equal(t, path, probe.HTTPGet.Path)
				assert.Equal(t, !f.TLS.IsZero(), probe.HTTPGet.Scheme == core.URISchemeHTTPS)
			}
		}
	})
}

// Memory is bounded by what the graph lets wait.
func TestKubernetesMemoryFollowsTheBounds(t *testing.T) {
	g := graphs(t)
	front := func(name, set string) int64 {
		s := decodeSet(t, exported(t, targets()[1], name, g[name])).fronts[set]
		return s.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().Value()
	}
	assert.Greater(t, front("primes", "primes-front"), int64(256<<20), "max_pending_bytes by default")
	assert.Greater(t, front("fronts", "fronts-front-east-1"), int64(1<<30))
	o := decodeSet(t, exported(t, targets()[1], "primes", g["primes"]))
	memory := func(d string) int64 {
		deployment := o.deployments[d]
		return deployment.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().Value()
	}
	assert.Greater(t, memory("primes-proxy-parse"), int64(1536<<20), "max_queue_bytes and max_forwarded_bytes by default")
	assert.Greater(t, memory("primes-proxy-compute"), int64((256+128)<<20))
	assert.Less(t, memory("primes-proxy-compute"), int64(1<<30))
}

// Workers are scaled by the queue of their stage, and proxies never.
func TestKubernetesScalesWorkers(t *testing.T) {
	onEach(t, "kubernetes", func(t *testing.T, name string, from *graph.Graph, files map[string][]byte) {
		o := decodeSet(t, files)
		var scaled []string
		for role, w := range o.roles(t) {
			kind, stage, _ := strings.Cut(role, ":")
			h, ok := o.scalers[w.name]
			assert.Equal(t, kind == "workers", ok, role)
			if kind == "proxy" {
				d := o.deployments[w.name]
				assert.EqualValues(t, 1, *d.Spec.Replicas)
				assert.Zero(t, d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue())
			}
			if !ok {
				continue
			}
			scaled = append(scaled, stage)
			d := o.deployments[w.name]
			assert.Nil(t, d.Spec.Replicas, "the autoscaler sets it")
			assert.Equal(t, autoscaling.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: w.name}, h.Spec.ScaleTargetRef)
			proxies := from.Each(graph.Role{Kind: graph.RoleProxy, Name: stage})
			require.Len(t, h.Spec.Metrics, len(proxies))
			for i, r := range proxies {
				metric := h.Spec.Metrics[i].Object
				assert.Equal(t, autoscaling.ObjectMetricSourceType, h.Spec.Metrics[i].Type)
				assert.Equal(t, "butterfly_stage_queued", metric.Metric.Name)
				described := o.services[metric.DescribedObject.Name]
				assert.Equal(t, scraped(9464), described.Annotations, "by which Prometheus has the metric of this service")
				assert.Equal(t, o.roles(t)[r.String()].name, o.selected(t, labels.SelectorFromSet(described.Spec.Selector), described.Name).name)
				assert.Equal(t, int64(10/len(proxies)), metric.Target.AverageValue.Value(), "each has its share")
			}
			assert.Contains(t, o.budgets, w.name)
		}
		var own []string
		for _, s := range from.Stages {
			if !s.External && s.Compat == "" {
				own = append(own, s.Name)
			}
		}
		assert.ElementsMatch(t, own, scaled)
	})
}

// scraped are the annotations by which Prometheus finds metrics at a port.
func scraped(port int) map[string]string {
	return map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": strconv.Itoa(port), "prometheus.io/path": "/metrics"}
}

// All pods serve metrics at one port, and Prometheus finds each of them once: by
// the service that is theirs alone, so that their metrics bear its name, or
// without one by themselves.
func TestKubernetesMetricsAreFoundOnce(t *testing.T) {
	onEach(t, "kubernetes", func(t *testing.T, name string, _ *graph.Graph, files map[string][]byte) {
		o := decodeSet(t, files)
		found := make(map[string]int)
		for _, s := range o.services {
			if len(s.Annotations) == 0 {
				continue
			}
			assert.Equal(t, scraped(9464), s.Annotations, s.Name)
			assert.Equal(t, core.ClusterIPNone, s.Spec.ClusterIP)
			assert.True(t, slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Port == 9464 }), s.Name)
			found[o.selected(t, labels.SelectorFromSet(s.Spec.Selector), s.Name).name]++
		}
		for _, w := range o.workloads() {
			if len(w.pod.Annotations) > 0 {
				assert.Equal(t, scraped(9464), w.pod.Annotations, w.name)
				found[w.name]++
			}
			assert.Equal(t, 1, found[w.name], w.name)
			assert.Equal(t, []string{"--metrics", ":9464"}, w.container().Args[4:])
			assert.Equal(t, 9464, w.port(t, "metrics"))
		}
		assert.Empty(t, separate(t, files["graph.yaml"]).Metrics.Listen, "it would be another port for each part")
	})
}

// The port for metrics is the graph's, unless something else has it.
func TestContainersMetricsPort(t *testing.T) {
	for _, c := range []struct {
		metrics, listen string
		want            int
	}{
		{"", ":8002", 9464},
		{"127.0.0.1:9000", ":8002", 9000},
		{":0", ":8002", 9464},
		{":443", ":8002", 9464},
		{":9464", ":80", 9464},
		{"", ":9464", 9465},
		{":7101", ":7103", 7104},
		{":7201", ":8002", 7203},
	} {
		g := small("a")
		g.Metrics.Listen, g.Fronts[0].Listen = c.metrics, c.listen
		p := project(t, exported(t, targets()[2], "svc", g))
		for _, s := range p.Services {
			assert.Equal(t, []string{"--metrics", ":" + strconv.Itoa(c.want)}, []string(s.Command[4:]), "%+v", c)
		}
		for name, d := range decodeSet(t, exported(t, targets()[1], "svc", g)).deployments {
			ports := d.Spec.Template.Spec.Containers[0].Ports
			assert.EqualValues(t, c.want, ports[len(ports)-1].ContainerPort, "%s %+v", name, c)
		}
	}
}

func TestKubernetesImages(t *testing.T) {
	to := targets()[1]
	image := func(stage string) string {
		d := decodeSet(t, exported(t, to, "primes", graphs(t)["primes"])).deployments["primes-workers-"+stage]
		return d.Spec.Template.Spec.Containers[0].Image
	}
	assert.Equal(t, "registry.example/prime-serverd:1.0", image("parse"))
	assert.Equal(t, "registry.example/prime-serverd-echo:1.0", image("echo"), "a program does not fit into our image")
	to.config.Images = map[string]string{"echo": "localhost:5000/echo@sha256:0123", "parse": "parse"}
	assert.Equal(t, "localhost:5000/echo@sha256:0123", image("echo"))
	assert.Equal(t, "parse", image("parse"))
	to.config.Images = nil
	to.config.Image = "localhost:5000/a/b"
	assert.Equal(t, "localhost:5000/a/b-echo", image("echo"))
	to.config.Image = "b@sha256:0123"
	assert.Equal(t, "b-echo", image("echo"))
}
