package export

import (
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// containerGraph is where the graph's file is in containers.
const containerGraph = "/etc/butterfly/graph.yaml"

// run is what a container runs, and what it may take.
type run struct {
	Binary, Image string
	Role          string
	Graph         string
	Memory, Soft  int  // MiB; at most, and what Go aims at
	Stop          int  // seconds
	Metrics       int  // port
	Secure        bool // it has a certificate
}

func (p *plan) run(image string, role graph.Role, memory int) run {
	return run{p.Binary, image, role.String(), containerGraph, memory, memory * 9 / 10, p.Stop, p.metrics(), p.secure(role)}
}

// frontRun is run for a front that is known by another name in containers.
func (p *plan) frontRun(f *front, name string) run {
	r := p.run(p.Image, graph.Role{Kind: graph.RoleFront, Name: name}, f.memory())
	r.Secure = p.secure(graph.Role{Kind: graph.RoleFront, Name: f.Name})
	return r
}

// secure reports whether a part of the graph needs a certificate.
func (p *plan) secure(role graph.Role) bool { return p.g.Identity(role) != nil }

// containerTLS is where certificates are in containers, under the names that
// Kubernetes' secrets have.
const containerTLS = "/etc/butterfly-tls"

// certificates returns what is said of certificates, with the files of
// containers: each has its own at the same place.
func certificates(t graph.MTLS) graph.MTLS {
	if !t.IsZero() {
		t.CA, t.Cert, t.Key = []string{containerTLS + "/ca.crt"}, containerTLS+"/tls.crt", containerTLS+"/tls.key"
	}
	return t
}

// image returns what the workers of a stage run, and whether it is made up.
func (p *plan) image(s stage) (image string, madeUp bool) {
	if own, ok := p.Images[s.Name]; ok {
		return own, false
	}
	if len(s.Command) == 0 {
		return p.Image, false
	}
	return besides(p.Image, s.Label), true
}

// besides returns the name of an image that is built beside another: of
// registry/program:1.0 it is registry/program-LABEL:1.0.
func besides(image, label string) string {
	name, _, _ := strings.Cut(image, "@")
	tag := ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i:]
	}
	return name + "-" + label + tag
}
