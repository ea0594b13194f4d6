package graph

import (
	"slices"
	"strings"
)

// MTLS says by what certificates the parts of the graph know one another at
// tls+tcp endpoints.
type MTLS struct {
	// CA are files with the certificates of authorities that are trusted.
	CA []string
	// Cert and Key are the files of every part that has none of its own.
	Cert, Key string
	// Names say who is what by the names in his certificate.
	Names RoleNames

	Position Position
	origin
}

// IsZero reports whether the file says nothing.
func (t *MTLS) IsZero() bool {
	return len(t.CA) == 0 && t.Cert == "" && t.Key == "" && t.Position == Position{}
}

// RoleNames are names in certificates, by what their holders may be.
type RoleNames struct{ Fronts, Proxies, Workers []string }

// Holder is what is said of the certificate of one part, in place of what MTLS
// says of all: its files where it runs, and its names for all others.
type Holder struct {
	Cert, Key string
	Names     []string
}

// StageMTLS are the certificates of a stage's parts.
type StageMTLS struct{ Proxy, Workers Holder }

// Network says who gets to the network that the machines are on.
type Network string

// What a file may say. The zero value is NetworkUntrusted.
const (
	NetworkUntrusted Network = "untrusted" // anybody: plain tcp is for this machine alone
	NetworkPrivate   Network = "private"   // parts of the graph and others as much trusted
)

// Identity is who a part is at tls+tcp endpoints, and whom it meets there.
type Identity struct {
	CA        []string
	Cert, Key string
	// Peers are the names that may be at the other end of each endpoint, as the
	// part binds or dials it.
	Peers map[string][]string
}

// Identity returns who a part of AllRoles is, or all proxies of a stage, or nil where it is at no tls+tcp
// endpoint.
func (g *Graph) Identity(r Role) *Identity {
	meetings := g.meetings()
	if !slices.ContainsFunc(meetings, func(m meeting) bool {
		// Stages that no request gets to connect to the fronts as others do.
		return m.endpoint.Secure() && (slices.ContainsFunc(m.parts, r.covers) || m.parts[0].Kind == RoleFront && r.Kind != RoleFront)
	}) {
		return nil
	}
	h := g.holder(r)
	id := &Identity{CA: g.MTLS.CA, Cert: h.Cert, Key: h.Key, Peers: make(map[string][]string)}
	for _, m := range meetings {
		id.Peers[m.endpoint.Connect] = g.holder(m.parts[0]).Names
	}
	// What the part binds itself comes last: others may be known by the same
	// text elsewhere.
	for _, m := range meetings {
		if r.covers(m.parts[0]) {
			id.Peers[m.endpoint.Bind] = g.namesOf(m.parts[1:])
		}
	}
	return id
}

// covers reports whether a part is r, or one of several that r stands for.
func (r Role) covers(part Role) bool {
	return part == r || r.Number == 0 && part.Kind == r.Kind && part.Name == r.Name
}

// namesOf returns the names of parts, each once.
func (g *Graph) namesOf(parts []Role) []string {
	var names []string
	for _, r := range parts {
		names = append(names, g.holder(r).Names...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// holder returns a part's files and names.
func (g *Graph) holder(r Role) Holder {
	var own Holder
	var common []string
	switch r.Kind {
	case RoleFront:
		if f, ok := g.Front(r.Name); ok {
			own = f.MTLS
		}
		common = g.MTLS.Names.Fronts
	case RoleProxy:
		if s, ok := g.Stage(r.Name); ok {
			own = s.MTLS.Proxy
		}
		common = g.MTLS.Names.Proxies
	case RoleWorkers:
		if s, ok := g.Stage(r.Name); ok {
			own = s.MTLS.Workers
		}
		common = g.MTLS.Names.Workers
	}
	if own.Cert == "" {
		own.Cert, own.Key = g.MTLS.Cert, g.MTLS.Key
	}
	if len(own.Names) == 0 {
		own.Names = common
	}
	return own
}

// Secure reports whether the endpoint is tls+tcp.
func (e Endpoint) Secure() bool { return strings.HasPrefix(e.Connect, "tls+tcp://") }

// The tables of keys.

func mtlsKeys() []key[MTLS] {
	return []key[MTLS]{
		field("ca", list(pemFile(), true), func(t *MTLS) *[]string { return &t.CA }, "",
			"files with the certificates of the authorities that all parts have theirs from, in PEM").must(),
		field("cert", pemFile(), func(t *MTLS) *string { return &t.Cert }, "",
			"file with the certificate of each part that has none of its own, in PEM, intermediate ones behind it"),
		field("key", pemFile(), func(t *MTLS) *string { return &t.Key }, "",
			"file with its key, in PEM"),
		field("names", roleNames(), func(t *MTLS) *RoleNames { return &t.Names }, "",
			"who may be what, by the names in his certificate"),
	}
}

func roleNamesKeys() []key[RoleNames] {
	names := list(certificateName(), true)
	return []key[RoleNames]{
		field("fronts", names, func(r *RoleNames) *[]string { return &r.Fronts }, "",
			"names of fronts: DNS names, *.example.com for all of one domain, or URIs, spiffe://example/fronts/* for all below one"),
		field("proxies", names, func(r *RoleNames) *[]string { return &r.Proxies }, "",
			"names of proxies"),
		field("workers", names, func(r *RoleNames) *[]string { return &r.Workers }, "",
			"names of workers"),
	}
}

func holderKeys() []key[Holder] {
	return []key[Holder]{
		field("cert", pemFile(), func(h *Holder) *string { return &h.Cert }, "",
			"file with its certificate; absent: that of all parts"),
		field("key", pemFile(), func(h *Holder) *string { return &h.Key }, "",
			"file with the key"),
		field("names", list(certificateName(), true), func(h *Holder) *[]string { return &h.Names }, "",
			"names that others know it by; absent: those of its kind"),
	}
}

func stageMTLSKeys() []key[StageMTLS] {
	return []key[StageMTLS]{
		field("proxy", holder(), func(s *StageMTLS) *Holder { return &s.Proxy }, "", "certificate of the stage's proxy"),
		field("workers", holder(), func(s *StageMTLS) *Holder { return &s.Workers }, "", "certificate of the stage's workers"),
	}
}

// below is a mapping inside an element.
func below[T any](definition string, keys func() []key[T]) kind[T] {
	return kind[T]{
		schema: ref(definition),
		read: func(c cursor) (v T, ok bool) {
			ok = readKeys(c, keys(), &v)
			return v, ok
		},
	}
}

func roleNames() kind[RoleNames] { return below("names", roleNamesKeys) }
func holder() kind[Holder]       { return below("identity", holderKeys) }
func stageMTLS() kind[StageMTLS] { return below("identities", stageMTLSKeys) }

// pairRules says that a certificate and its key are named together.
func pairRules() schema {
	return schema{"dependencies": schema{"cert": requires("key"), "key": requires("cert")}}
}

// pemFile is the name of a file.
func pemFile() kind[string] {
	return word("a file", schema{"type": "string", "minLength": 1}, func(s string) (string, *flaw) {
		if s == "" {
			return "", flawf("", "the name is empty")
		}
		return fileName(s)
	})
}

// certificateName is a name that certificates may bear, or many.
func certificateName() kind[string] {
	const hint = "write a name like proxy.example, *.example for all of one domain, spiffe://example/proxy, or spiffe://example/workers/* for all below it"
	return word("a name", schema{"type": "string", "minLength": 1, "pattern": `^[^ \t\r\n,]+$`}, func(s string) (string, *flaw) {
		bad := s == "" || strings.ContainsAny(s, " \t\r\n,")
		if scheme, rest, isURI := strings.Cut(strings.TrimSuffix(s, "/*"), "://"); isURI {
			bad = bad || scheme == "" || rest == "" || strings.Contains(scheme+rest, "*")
		} else {
			bad = bad || s == "*." || strings.Contains(strings.TrimPrefix(s, "*."), "*") || strings.ContainsAny(s, "/:@")
		}
		if bad {
			return "", flawf(hint, "%q is no name of certificates", brief(s))
		}
		return s, nil
	})
}

func readMTLS(c cursor, d *document) bool {
	d.mtls = MTLS{Position: c.at}
	return readKeys(c.element(&d.mtls.origin), mtlsKeys(), &d.mtls)
}

func readNetwork(c cursor, d *document) (ok bool) {
	d.network, ok = networkKinds().read(c)
	return ok
}

func networkKinds() kind[Network] { return oneOf(NetworkUntrusted, NetworkPrivate) }
