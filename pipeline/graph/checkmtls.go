package graph

import (
	"fmt"
	"slices"
	"strings"
)

const mtlsHint = "write mtls: {ca: [ca.pem], cert: own.pem, key: own.key, names: {fronts: [NAME], proxies: [NAME], workers: [NAME]}}"

// checkMTLS wants certificates for tls+tcp endpoints, names for all who meet
// there, and nobody there who cannot speak it.
func (c *checker) checkMTLS() {
	c.checkPairs()
	wanted := make(map[Role]bool)    // reported, or seen to be all right
	outside := make(map[string]bool) // stages reported
	secured := 0
	for _, m := range c.g.meetings() {
		if !m.endpoint.Secure() {
			continue
		}
		secured++
		if secured == 1 && c.g.MTLS.IsZero() {
			c.add(m.owner.below(m.at, m.rest, "tls+tcp needs certificates", mtlsHint))
		}
		if !c.g.MTLS.IsZero() && !c.g.MTLS.flawed {
			for _, r := range m.parts {
				if !wanted[r] {
					wanted[r] = true
					c.checkHolder(m, r)
				}
			}
		}
		c.checkSpeakers(m, outside)
	}
	if secured == 0 && !c.g.MTLS.IsZero() && !c.g.flawed() {
		c.warn(c.g.MTLS.below(c.g.MTLS.Position, "", "no endpoint is tls+tcp", "write tls+tcp://host:port for those that cross an untrusted network"))
	}
}

// flawed reports whether a front or stage was reported: what it lacks may be
// what is wrong with it.
func (g *Graph) flawed() bool {
	return slices.ContainsFunc(g.Fronts, func(f Front) bool { return f.flawed }) ||
		slices.ContainsFunc(g.Stages, func(s Stage) bool { return s.flawed })
}

// checkPairs wants a key for each certificate, and the reverse.
func (c *checker) checkPairs() {
	pair := func(o *origin, at Position, rest, cert, key string) {
		switch {
		case (cert == "") == (key == "") || o.flawed:
		case cert == "":
			c.add(o.below(at, rest+".key", "there is no cert for it", "write cert: FILE"))
		default:
			c.add(o.below(at, rest+".cert", "there is no key for it", "write key: FILE"))
		}
	}
	pair(&c.g.MTLS.origin, c.g.MTLS.Position, "", c.g.MTLS.Cert, c.g.MTLS.Key)
	for i := range c.g.Fronts {
		f := &c.g.Fronts[i]
		pair(&f.origin, f.Position, ".mtls", f.MTLS.Cert, f.MTLS.Key)
	}
	for i := range c.g.Stages {
		s := &c.g.Stages[i]
		pair(&s.origin, s.Position, ".mtls.proxy", s.MTLS.Proxy.Cert, s.MTLS.Proxy.Key)
		pair(&s.origin, s.Position, ".mtls.workers", s.MTLS.Workers.Cert, s.MTLS.Workers.Key)
	}
}

// checkHolder wants files and names of a part that is at a tls+tcp endpoint.
func (c *checker) checkHolder(m meeting, r Role) {
	h := c.g.holder(r)
	at := func(rest, message, hint string) { c.add(c.g.MTLS.below(c.g.MTLS.Position, rest, message, hint)) }
	if h.Cert == "" && c.mine(r) {
		at("", fmt.Sprintf("there is no certificate for %v, which is at %s%s", r, m.owner.path, m.rest),
			"write cert: FILE and key: FILE here, or for that part")
	}
	if len(h.Names) == 0 {
		kind := map[RoleKind]string{RoleFront: "fronts", RoleProxy: "proxies", RoleWorkers: "workers"}[r.Kind]
		at("", fmt.Sprintf("names.%s is missing: nobody would take %v for what it is, at %s%s", kind, r, m.owner.path, m.rest),
			fmt.Sprintf("write names: {%s: [NAME]}, a name in its certificate", kind))
	}
}

// mine reports whether a part is started by us: the files of others are theirs.
func (c *checker) mine(r Role) bool {
	s, isStage := c.g.Stage(r.Name)
	return r.Kind != RoleWorkers || isStage && !s.isOutside() && len(s.Command) == 0
}

// checkSpeakers reports workers at a tls+tcp endpoint who speak plain ZeroMQ:
// libzmq has no TLS. Of those that are started elsewhere that cannot be known; they
// are reported once.
func (c *checker) checkSpeakers(m meeting, outside map[string]bool) {
	var programs []string
	for _, r := range m.parts {
		if r.Kind != RoleWorkers {
			continue
		}
		s, _ := c.g.Stage(r.Name)
		own := strings.HasPrefix(m.rest, ".upstream") && m.owner == &s.origin && !slices.Contains(s.Next, s.Name) // our supervisor's
		switch {
		case len(s.Command) > 0 && !own:
			programs = append(programs, s.Name)
		case s.Compat != "":
			programs = append(programs, s.Name)
		case s.External && !outside[s.Name]:
			outside[s.Name] = true
			c.warn(s.below(s.Position, ".external", "its workers are started elsewhere, and "+m.owner.path+m.rest+" is tls+tcp: only those in Go can connect", ""))
		}
	}
	if len(programs) > 0 {
		c.add(m.owner.below(m.at, m.rest, fmt.Sprintf("the worker programs of %s connect here, and speak plain ZeroMQ", strings.Join(programs, ", ")),
			"write ipc:///path or tcp://127.0.0.1:port, or give the stage a worker in Go"))
	}
}
