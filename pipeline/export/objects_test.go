package export_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// kustomization is what we use of a kustomization.yaml, of kustomize's
// api/types.
type kustomization struct {
	meta.TypeMeta      `json:",inline"`
	Resources          []string `json:"resources"`
	ConfigMapGenerator []struct {
		Name  string   `json:"name"`
		Files []string `json:"files"`
	} `json:"configMapGenerator"`
}

// objects is a kustomize set, decoded strictly: unknown keys fail.
type objects struct {
	set         kustomization
	services    map[string]core.Service
	fronts      map[string]apps.StatefulSet
	deployments map[string]apps.Deployment
	scalers     map[string]autoscaling.HorizontalPodAutoscaler
	budgets     map[string]policy.PodDisruptionBudget
	policies    map[string]networking.NetworkPolicy
}

// decodeSet decodes all objects that the kustomization names.
func decodeSet(t *testing.T, files map[string][]byte) *objects {
	t.Helper()
	o := &objects{
		services: make(map[string]core.Service), fronts: make(map[string]apps.StatefulSet),
		deployments: make(map[string]apps.Deployment), scalers: make(map[string]autoscaling.HorizontalPodAutoscaler),
		budgets: make(map[string]policy.PodDisruptionBudget), policies: make(map[string]networking.NetworkPolicy),
	}
	require.NoError(t, yaml.UnmarshalStrict(files["kustomization.yaml"], &o.set))
	assert.Equal(t, meta.TypeMeta{APIVersion: "kustomize.config.k8s.io/v1beta1", Kind: "Kustomization"}, o.set.TypeMeta)
	used := append([]string{"kustomization.yaml"}, o.set.Resources...)
	for _, m := range o.set.ConfigMapGenerator {
		used = append(used, m.Files...)
	}
	assert.ElementsMatch(t, keys(files), used, "the set names what there is")
	for _, name := range o.set.Resources {
		for _, doc := range strings.Split(string(files[name]), "\n---\n") {
			o.decode(t, name, []byte(doc))
		}
	}
	return o
}

func (o *objects) decode(t *testing.T, file string, doc []byte) {
	t.Helper()
	var kind meta.TypeMeta
	require.NoError(t, yaml.Unmarshal(doc, &kind), file)
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 Service":
		into(t, o.services, doc, func(s core.Service) meta.ObjectMeta { return s.ObjectMeta })
	case "apps/v1 StatefulSet":
		into(t, o.fronts, doc, func(s apps.StatefulSet) meta.ObjectMeta { return s.ObjectMeta })
	case "apps/v1 Deployment":
		into(t, o.deployments, doc, func(d apps.Deployment) meta.ObjectMeta { return d.ObjectMeta })
	case "autoscaling/v2 HorizontalPodAutoscaler":
		into(t, o.scalers, doc, func(h autoscaling.HorizontalPodAutoscaler) meta.ObjectMeta { return h.ObjectMeta })
	case "policy/v1 PodDisruptionBudget":
		into(t, o.budgets, doc, func(p policy.PodDisruptionBudget) meta.ObjectMeta { return p.ObjectMeta })
	case "networking.k8s.io/v1 NetworkPolicy":
		into(t, o.policies, doc, func(p networking.NetworkPolicy) meta.ObjectMeta { return p.ObjectMeta })
	default:
		require.Fail(t, "an object of another kind", "%s: %v", file, kind)
	}
}

// into decodes an object strictly, and checks its name and labels.
func into[T any](t *testing.T, all map[string]T, doc []byte, metadata func(T) meta.ObjectMeta) {
	t.Helper()
	var v T
	require.NoError(t, yaml.UnmarshalStrict(doc, &v), "%s", doc)
	m := metadata(v)
	assert.Empty(t, validation.IsDNS1035Label(m.Name), m.Name)
	assert.NotContains(t, all, m.Name, "there twice: %T", v)
	assert.NotEmpty(t, m.Labels)
	for key, value := range m.Labels {
		assert.Empty(t, validation.IsQualifiedName(key))
		assert.Empty(t, validation.IsValidLabelValue(value))
	}
	all[m.Name] = v
}

// workload is what makes pods.
type workload struct {
	name     string
	selector *meta.LabelSelector
	pod      core.PodTemplateSpec
	replicas int
}

func (o *objects) workloads() []workload {
	var all []workload
	for name, s := range o.fronts {
		all = append(all, workload{name, s.Spec.Selector, s.Spec.Template, int(*s.Spec.Replicas)})
	}
	for name, d := range o.deployments {
		all = append(all, workload{name, d.Spec.Selector, d.Spec.Template, 1})
	}
	return all
}

// selected returns the one workload whose pods match.
func (o *objects) selected(t *testing.T, by labels.Selector, who string) workload {
	t.Helper()
	var found []workload
	for _, w := range o.workloads() {
		if by.Matches(labels.Set(w.pod.Labels)) {
			found = append(found, w)
		}
	}
	require.Len(t, found, 1, "%s selects pods of one workload", who)
	return found[0]
}

func selector(t *testing.T, s *meta.LabelSelector) labels.Selector {
	t.Helper()
	by, err := meta.LabelSelectorAsSelector(s)
	require.NoError(t, err)
	return by
}

// port returns the number of a named port of the workload's container.
func (w *workload) port(t *testing.T, name string) int {
	t.Helper()
	for _, p := range w.container().Ports {
		if p.Name == name {
			return int(p.ContainerPort)
		}
	}
	require.Fail(t, "no such port", "%s has no port %s", w.name, name)
	return 0
}

func (w *workload) container() core.Container { return w.pod.Spec.Containers[0] }
