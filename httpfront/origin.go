package httpfront

import (
	"bytes"
	"net/netip"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
)

// Forwarded is how proxies say for whom they ask, and how workers are told.
type Forwarded uint8

// The forms. The zero value is ForwardedNot.
const (
	ForwardedNot     Forwarded = iota // not at all
	ForwardedX                        // X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host
	ForwardedRFC7239                  // Forwarded (RFC 7239)
)

// origin is for whom a request is made.
type origin struct {
	client netip.Addr // zero: unknown
	proto  string     // http or https
	host   []byte     // may be nil
}

// TrustedProxies are the addresses of proxies that are believed.
type TrustedProxies []netip.Prefix

func (t TrustedProxies) has(a netip.Addr) bool {
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// A proxy writes behind what was there before who asked it. So the list is read
// from its end: as long as one that is trusted has written an element it is
// true, and the first that is not trusted itself is the client, as far as is
// known. What is before that anybody may have written.

// fromX reads the three X-Forwarded fields of a request that a trusted proxy
// has sent.
func (o *origin) fromX(t TrustedProxies, addresses, protos, hosts [][]byte) {
	all, walked := 0, 0
	known := true
	eachBack(addresses, func(element []byte) {
		all++
		if !known {
			return
		}
		a, ok := nodeOf(element)
		if !ok {
			known = false // who that was the proxy did not know, or say
			return
		}
		walked++
		o.client = a
		known = t.has(a)
	})
	if proto := aligned(protos, walked, all); proto != nil {
		o.setProto(proto)
	}
	if host := aligned(hosts, walked, all); host != nil {
		o.setHost(host)
	}
}

// aligned returns the element of a list that belongs to the walked-th of
// another one from its end, where both are as long, or its last.
func aligned(values [][]byte, walked, all int) (found []byte) {
	n := 0
	eachBack(values, func(element []byte) {
		if n++; n == 1 || n == walked && walked > 0 {
			if n == 1 || length(values) == all {
				found = element
			}
		}
	})
	return found
}

func length(values [][]byte) (n int) {
	eachBack(values, func([]byte) { n++ })
	return n
}

// eachBack calls do for the elements of a list that may stand in several fields,
// from its end.
func eachBack(values [][]byte, do func(element []byte)) {
	for i := len(values) - 1; i >= 0; i-- {
		rest := values[i]
		for {
			comma := bytes.LastIndexByte(rest, ',')
			do(bytes.TrimSpace(rest[comma+1:]))
			if comma < 0 {
				break
			}
			rest = rest[:comma]
		}
	}
}

// fromForwarded reads the Forwarded fields of a request that a trusted proxy has
// sent. Those that are malformed say nothing.
func (o *origin) fromForwarded(t TrustedProxies, values [][]byte) {
	elements, ok := parseForwarded(values)
	if !ok {
		return
	}
	for i := len(elements) - 1; i >= 0; i-- {
		e := &elements[i]
		a, ok := nodeOf(e.by[forParam])
		if !ok {
			if i == len(elements)-1 {
				o.take(e)
			}
			return
		}
		o.client = a
		o.take(e)
		if !t.has(a) {
			return
		}
	}
}

func (o *origin) take(e *forwardedElement) {
	o.setProto(e.by[protoParam])
	o.setHost(e.by[hostParam])
}

func (o *origin) setProto(p []byte) {
	switch {
	case bytes.EqualFold(p, []byte("http")):
		o.proto = "http"
	case bytes.EqualFold(p, []byte("https")):
		o.proto = "https"
	}
}

func (o *origin) setHost(h []byte) {
	if len(h) > 0 && httptext.IsHost(h) {
		o.host = h
	}
}

// nodeOf reads an address with or without port: 192.0.2.1:80, [2001:db8::1]:80,
// 2001:db8::1. Names, as unknown and _hidden, are none.
func nodeOf(s []byte) (netip.Addr, bool) {
	text := string(s)
	if a, err := netip.ParseAddr(text); err == nil {
		return plain(a), true
	}
	if len(text) > 1 && text[0] == '[' && text[len(text)-1] == ']' {
		a, err := netip.ParseAddr(text[1 : len(text)-1])
		return plain(a), err == nil && a.Is6()
	}
	ap, err := netip.ParseAddrPort(text)
	return plain(ap.Addr()), err == nil
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
