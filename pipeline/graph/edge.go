package graph

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Forwarded is how proxies before a front say for whom they ask, and how it
// tells workers.
type Forwarded string

// What a front may say. "" is ForwardedX where it has TrustedProxies, and
// otherwise ForwardedNone.
const (
	ForwardedNone    Forwarded = "none"
	ForwardedX       Forwarded = "x-forwarded" // X-Forwarded-For, -Proto and -Host
	ForwardedRFC7239 Forwarded = "rfc7239"     // Forwarded
)

// RequestIDFrom says whose request ids are taken over.
type RequestIDFrom string

// What a front may say. The zero value is RequestIDFromTrusted.
const (
	RequestIDFromTrusted  RequestIDFrom = "trusted_proxies"
	RequestIDFromEveryone RequestIDFrom = "everyone"
)

// edgeKeys are the keys of a front about whom it speaks to.
func edgeKeys() []key[Front] {
	return []key[Front]{
		field("trusted_proxies", list(networks(), true), func(f *Front) *[]netip.Prefix { return &f.TrustedProxies }, "",
			"addresses of proxies that are believed when they say for whom they ask"),
		field("forwarded", oneOf(ForwardedNone, ForwardedX, ForwardedRFC7239), func(f *Front) *Forwarded { return &f.Forwarded }, "",
			"how they say it, and how workers are told; absent: x-forwarded with trusted_proxies, else none"),
		field("request_id_header", replacedField(), func(f *Front) *string { return &f.RequestIDHeader }, "",
			"header field with the id of a request, taken from trusted_proxies, told to workers and clients; absent: none"),
		field("request_id_from", oneOf(RequestIDFromTrusted, RequestIDFromEveryone), func(f *Front) *RequestIDFrom { return &f.RequestIDFrom }, string(RequestIDFromTrusted),
			"whose ids are taken over: those of trusted_proxies, or of everyone"),
		field("cors", mappingOf("cors", corsKeys), func(f *Front) *CORS { return &f.CORS }, "",
			"which pages of other origins may read answers; absent: nothing is said of it"),
		field("compress", compressing(), func(f *Front) *Compress { return &f.Compress }, "",
			"which answers are compressed for clients that take it; absent: none"),
	}
}

// networks are addresses, each alone or with the length of a network's prefix.
func networks() kind[netip.Prefix] {
	s := schema{"type": "string", "pattern": `^[0-9a-fA-F.:]+(/[0-9]+)?$`}
	return word("an address or a network", s, func(s string) (netip.Prefix, *flaw) {
		const hint = "write an address, or a network like 10.0.0.0/8"
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			a = a.Unmap()
			return netip.PrefixFrom(a, a.BitLen()), nil
		}
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return p, flawf(hint, "%q is no address or network", brief(s))
		case p.Addr().Is4In6():
			return p, flawf("write it as IPv4", "%q is an IPv4 network in the form of IPv6", brief(s))
		case p != p.Masked():
			return p, flawf("write "+p.Masked().String(), "%q names a host and a network", brief(s))
		}
		return p, nil
	})
}

// ownFields are fields that a front makes itself, or that frame messages.
var ownFields = []string{
	"host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "content-length", "upgrade",
	"expect", "forwarded", "x-real-ip", "x-butterfly-error",
}

// replacedField is the name of a header field that a front may replace.
func replacedField() kind[string] {
	k := fieldName()
	read := k.read
	k.read = func(c cursor) (string, bool) {
		s, ok := read(c)
		if !ok {
			return "", false
		}
		name := strings.ReplaceAll(strings.ToLower(s), "_", "-")
		if strings.HasPrefix(name, "x-forwarded-") {
			name = "forwarded"
		}
		if slices.Contains(ownFields, name) {
			c.problem(fmt.Sprintf("%q has a meaning of its own", s), "X-Request-Id is usual")
			return "", false
		}
		return s, true
	}
	return k
}

// checkEdge compares what a front says of whom it speaks to.
func (c *checker) checkEdge(f *Front) {
	c.checkCORS(&f.origin, f.Position, &f.CORS)
	switch {
	case f.RequestIDFrom != "" && f.RequestIDHeader == "" && !f.flawed:
		c.add(f.below(f.Position, ".request_id_from", "there is no request_id_header to take ids from", ""))
	case f.RequestIDHeader != "" && f.RequestIDFrom != RequestIDFromEveryone && len(f.TrustedProxies) == 0 && !f.flawed:
		c.warn(f.below(f.Position, ".request_id_header", "no id is taken over: there are no trusted_proxies", "name them, or write request_id_from: everyone"))
	}
}

func (m mapping) edge(f *Front) {
	m.prefixes("trusted_proxies", f.TrustedProxies)
	m.text("forwarded", string(f.Forwarded))
	m.text("request_id_header", f.RequestIDHeader)
	m.text("request_id_from", string(f.RequestIDFrom))
	m.cors(&f.CORS)
	m.compress(&f.Compress)
}

func (m mapping) prefixes(key string, all []netip.Prefix) {
	var texts []string
	for _, p := range all {
		texts = append(texts, p.String())
	}
	m.list(key, texts)
}
