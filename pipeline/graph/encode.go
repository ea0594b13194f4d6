package graph

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Encode returns the graph as one file, which loads as an equal graph wherever
// it is: variables are filled in and aliases written out. Comments are lost,
// and the order of keys is this package's.
//
// The error is an *Invalid where a value is no text, as one filled in from the
// environment may be: no YAML can hold it.
func (g *Graph) Encode() ([]byte, error) {
	e := encoder{}
	file := newMapping(&e, "")
	file.number("version", Version)
	e.fronts(file, g.Fronts)
	e.routes(file, g.Routes)
	e.stages(file, g.Stages)
	if len(g.Priorities) > 0 {
		classes := file.mapping("priorities")
		for _, p := range g.Priorities {
			classes.number(p.Name, p.Weight)
		}
	}
	if g.Metrics.Listen != "" {
		file.mapping("metrics").text("listen", g.Metrics.Listen)
	}
	e.mtls(file, &g.MTLS)
	file.text("network", string(g.Network))
	if l := g.Limits; l.MaxHops != 0 || l.FrontGrace != 0 {
		limits := file.mapping("limits")
		limits.number("max_hops", l.MaxHops)
		limits.duration("front_grace", l.FrontGrace)
	}
	if len(e.problems) > 0 {
		return nil, &Invalid{e.problems}
	}
	var out bytes.Buffer
	y := yaml.NewEncoder(&out)
	y.SetIndent(2)
	if err := y.Encode(file.node); err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	return out.Bytes(), nil
}

// encoder makes the nodes of a file, and collects what cannot be written.
type encoder struct {
	at       Position // of the element being written
	problems []Problem
}

func (e *encoder) fronts(file mapping, fronts []Front) {
	if len(fronts) == 1 && fronts[0].Name == "front" {
		e.front(file.mapping("front"), &fronts[0])
		return
	}
	all := file.mapping("fronts")
	for i := range fronts {
		e.front(all.mapping(fronts[i].Name), &fronts[i])
	}
}

func (e *encoder) front(m mapping, f *Front) {
	e.at = f.Position
	m.text("listen", f.Listen)
	m.tls(&f.TLS)
	m.edge(f)
	m.endpoint("loopback", f.Loopback)
	m.endpoint("interrupt", f.Interrupt)
	m.duration("timeout", f.Timeout)
	m.duration("header_timeout", f.HeaderTimeout)
	m.duration("body_timeout", f.BodyTimeout)
	m.duration("idle_timeout", f.IdleTimeout)
	m.duration("write_timeout", f.WriteTimeout)
	m.duration("stream_idle", f.StreamIdle)
	m.duration("half_close_grace", f.HalfCloseGrace)
	m.duration("drain_timeout", f.DrainTimeout)
	m.duration("proxy_grace", f.ProxyGrace)
	m.duration("drain_delay", f.DrainDelay)
	m.size("max_body", f.MaxBody)
	m.size("max_header", f.MaxHeader)
	m.size("max_target", Size(f.MaxTarget))
	m.number("max_pending", f.MaxPending)
	m.size("max_pending_bytes", f.MaxPendingBytes)
	m.size("stream_window", f.StreamWindow)
	m.number("max_conns", f.MaxConns)
	m.number("max_conns_per_client", f.MaxConnsPerClient)
	m.number("max_requests_per_conn", f.MaxRequestsPerConn)
	m.spool(&f.Spool)
	m.add("live", m.scalar("live", f.Live)) // "" is none, and absent is not
	m.add("ready", m.scalar("ready", f.Ready))
	m.text("client_header", f.ClientHeader)
	m.text("access_log", f.AccessLog)
	m.holder("mtls", f.MTLS)
}

func (e *encoder) mtls(file mapping, t *MTLS) {
	if t.IsZero() {
		return
	}
	e.at = t.Position
	m := file.mapping("mtls")
	m.list("ca", t.CA)
	m.text("cert", t.Cert)
	m.text("key", t.Key)
	if n := t.Names; len(n.Fronts)+len(n.Proxies)+len(n.Workers) > 0 {
		names := m.mapping("names")
		names.list("fronts", n.Fronts)
		names.list("proxies", n.Proxies)
		names.list("workers", n.Workers)
	}
}

// holder adds a part's certificate, if it has one of its own.
func (m mapping) holder(key string, h Holder) {
	if h.Cert == "" && len(h.Names) == 0 {
		return
	}
	own := m.mapping(key)
	own.text("cert", h.Cert)
	own.text("key", h.Key)
	own.list("names", h.Names)
}

func (e *encoder) routes(file mapping, routes []Route) {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range routes {
		r := &routes[i]
		e.at = r.Position
		m := newMapping(e, fmt.Sprintf("routes[%d]", i))
		m.text("path", r.Path)
		m.text("prefix", r.Prefix)
		m.text("host", r.Host)
		m.list("methods", r.Methods)
		m.dictionary("header", r.Header)
		m.text("stage", r.Stage)
		m.duration("timeout", r.Timeout)
		m.text("priority", r.Priority)
		m.text("repeat", string(r.Repeat))
		m.cors(&r.CORS)
		m.size("max_body", r.MaxBody)
		m.duration("body_timeout", r.BodyTimeout)
		m.size("spool_above", r.SpoolAbove)
		m.text("client_header", r.ClientHeader)
		list.Content = append(list.Content, m.node)
	}
	if len(routes) > 0 {
		file.add("routes", list)
	}
}

func (e *encoder) stages(file mapping, stages []Stage) {
	if len(stages) == 0 {
		return
	}
	all := file.mapping("stages")
	for i := range stages {
		s := &stages[i]
		e.at = s.Position
		m := all.mapping(s.Name)
		pairs := s.Pairs()
		m.ends("upstream", pairs, func(p Pair) Endpoint { return p.Upstream })
		m.ends("downstream", pairs, func(p Pair) Endpoint { return p.Downstream })
		m.number("proxies", s.Proxies)
		m.text("worker", s.Worker)
		m.list("command", s.Command)
		m.dictionary("env", s.Env)
		m.text("compat", s.Compat)
		if s.External {
			m.add("external", literal("!!bool", "true"))
		}
		m.number("count", s.Count)
		m.list("next", s.Next)
		m.number("max_visits", s.MaxVisits)
		m.number("max_queue", s.MaxQueue)
		m.size("max_queue_bytes", s.MaxQueueBytes)
		m.number("max_forwarded", s.MaxForwarded)
		m.size("max_forwarded_bytes", s.MaxForwardedBytes)
		m.text("admission", string(s.Admission))
		m.text("no_workers", string(s.NoWorkers))
		m.duration("timeout", s.Timeout)
		m.text("repeat", string(s.Repeat))
		m.number("attempts", s.Attempts)
		m.number("max_hung", s.MaxHung)
		m.duration("max_age", s.MaxAge)
		if s.MTLS.Proxy.Cert != "" || s.MTLS.Workers.Cert != "" || len(s.MTLS.Proxy.Names)+len(s.MTLS.Workers.Names) > 0 {
			certificates := m.mapping("mtls")
			certificates.holder("proxy", s.MTLS.Proxy)
			certificates.holder("workers", s.MTLS.Workers)
		}
	}
}

// mapping is a mapping that is being written. Its methods leave out values that
// are zero, which absent keys stand for.
type mapping struct {
	e    *encoder
	node *yaml.Node
	path string
}

func newMapping(e *encoder, path string) mapping {
	return mapping{e, &yaml.Node{Kind: yaml.MappingNode}, path}
}

func (m mapping) add(key string, value *yaml.Node) {
	m.node.Content = append(m.node.Content, literal("!!str", key), value)
}

// mapping adds a mapping below a key.
func (m mapping) mapping(key string) mapping {
	below := newMapping(m.e, join(m.path, key))
	m.add(key, below.node)
	return below
}

func (m mapping) text(key, s string) {
	if s != "" {
		m.add(key, m.scalar(key, s))
	}
}

func (m mapping) number(key string, n int) {
	if n != 0 {
		m.add(key, literal("!!int", strconv.Itoa(n)))
	}
}

func (m mapping) size(key string, s Size) {
	switch text := s.String(); {
	case s == 0:
	case digits(text):
		m.add(key, literal("!!int", text))
	default:
		m.text(key, text)
	}
}

func (m mapping) duration(key string, d time.Duration) {
	switch d {
	case 0:
	case Never:
		m.text(key, "never")
	default:
		m.text(key, d.String())
	}
}

func (m mapping) endpoint(key string, at Endpoint) {
	if !at.IsZero() {
		m.add(key, m.endpointNode(key, at))
	}
}

func (m mapping) endpointNode(key string, at Endpoint) *yaml.Node {
	if at.Bind == at.Connect {
		return m.scalar(key, at.Bind)
	}
	both := newMapping(m.e, join(m.path, key))
	both.text("bind", at.Bind)
	both.text("connect", at.Connect)
	return both.node
}

// ends adds one end of a stage's proxies.
func (m mapping) ends(key string, pairs []Pair, end func(Pair) Endpoint) {
	if first := end(pairs[0]); len(pairs) == 1 || first.IsZero() {
		m.endpoint(key, first)
		return
	}
	all := &yaml.Node{Kind: yaml.SequenceNode}
	for i, p := range pairs {
		all.Content = append(all.Content, m.endpointNode(fmt.Sprintf("%s[%d]", key, i), end(p)))
	}
	m.add(key, all)
}

func (m mapping) list(key string, items []string) {
	if len(items) == 0 {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for i, item := range items {
		list.Content = append(list.Content, m.scalar(fmt.Sprintf("%s[%d]", key, i), item))
	}
	m.add(key, list)
}

// mappings adds a list of mappings.
func (m mapping) mappings(key string, n int, write func(i int, m mapping)) {
	if n == 0 {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range n {
		item := newMapping(m.e, join(m.path, fmt.Sprintf("%s[%d]", key, i)))
		write(i, item)
		list.Content = append(list.Content, item.node)
	}
	m.add(key, list)
}

func (m mapping) dictionary(key string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	below := m.mapping(key)
	for _, name := range sortedKeys(values) {
		below.add(name, below.scalar(name, values[name]))
	}
}

// scalar is text, dollar signs escaped, in quotes where anything but quotes
// might make something else of it.
func (m mapping) scalar(key, s string) *yaml.Node {
	if !utf8.ValidString(s) {
		m.e.problems = append(m.e.problems, Problem{
			Position: m.e.at, Path: join(m.path, key),
			Message: fmt.Sprintf("%q is no UTF-8 text", brief(s)), Hint: "look at the environment variables in it",
		})
	}
	n := literal("!!str", strings.ReplaceAll(s, "$", "$$"))
	// The library would leave << bare, which is a merge, and write lines as a
	// block, which loses blanks.
	if s == "<<" || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func literal(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}
