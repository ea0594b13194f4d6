package httpfront

import (
	"net"
	"net/netip"
	"slices"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/valyala/fasthttp"
)

// edge decides for whom a request is made and what it is called, and returns
// what becomes of its head on the way to a worker.
func (x *exchange) edge() httptext.Edge {
	cfg := &x.front.cfg
	if cfg.Forwarded == ForwardedNot && cfg.RequestIDHeader == "" {
		return httptext.Edge{}
	}
	e := httptext.Edge{Replaced: cfg.RequestIDHeader}
	lines := x.conn.lines[:0]
	if cfg.Forwarded != ForwardedNot {
		o := x.origin()
		x.asker = o.client
		lines = o.appendTo(lines, cfg.Forwarded)
	}
	if cfg.RequestIDHeader != "" {
		x.named = x.nameOf()
		lines = append(lines, cfg.RequestIDHeader...)
		lines = append(lines, ": "...)
		lines = append(lines, x.named...)
		lines = append(lines, "\r\n"...)
	}
	x.conn.lines, e.Lines = lines, lines
	return e
}

// origin returns for whom the request is made: the peer, or whom a trusted peer
// asks for.
func (x *exchange) origin() origin {
	h := &x.ctx.Request.Header
	o := origin{client: x.conn.peer, proto: "http", host: httptext.HostOf(h)}
	if x.conn.secure != nil {
		o.proto = "https"
	}
	switch {
	case !x.conn.trusted:
	case x.front.cfg.Forwarded == ForwardedX:
		o.fromX(x.front.cfg.TrustedProxies, all(h, "X-Forwarded-For"), all(h, "X-Forwarded-Proto"), all(h, "X-Forwarded-Host"))
	default:
		o.fromForwarded(x.front.cfg.TrustedProxies, h.PeekAll("Forwarded"))
	}
	return o
}

// all returns the values of a field. Those of fasthttp are gone with the next
// field that is asked for.
func all(h *fasthttp.RequestHeader, name string) [][]byte { return slices.Clone(h.PeekAll(name)) }

// appendTo appends the origin as header lines. A worker may read the first or
// the last address of a list: there is only one.
func (o *origin) appendTo(dst []byte, form Forwarded) []byte {
	if form == ForwardedRFC7239 {
		return o.appendRFC7239(dst)
	}
	if o.client.IsValid() {
		dst = append(dst, "X-Forwarded-For: "...)
		dst = o.client.AppendTo(dst)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "X-Forwarded-Proto: "...)
	dst = append(dst, o.proto...)
	dst = append(dst, "\r\n"...)
	if len(o.host) == 0 {
		return dst
	}
	dst = append(dst, "X-Forwarded-Host: "...)
	dst = append(dst, o.host...)
	return append(dst, "\r\n"...)
}

func (o *origin) appendRFC7239(dst []byte) []byte {
	dst = append(dst, "Forwarded: for="...)
	switch {
	case !o.client.IsValid():
		dst = append(dst, "unknown"...)
	case o.client.Is6():
		dst = append(dst, `"[`...)
		dst = o.client.AppendTo(dst)
		dst = append(dst, `]"`...)
	default:
		dst = o.client.AppendTo(dst)
	}
	dst = append(dst, ";proto="...)
	dst = append(dst, o.proto...)
	if len(o.host) > 0 { // no host has a quote or a backslash
		dst = append(dst, `;host="`...)
		dst = append(dst, o.host...)
		dst = append(dst, '"')
	}
	return append(dst, "\r\n"...)
}

// nameOf returns the request's id: the peer's, if it may give one and gives one
// that is good, else one of our own.
func (x *exchange) nameOf() string {
	cfg := &x.front.cfg
	if x.conn.trusted || cfg.RequestIDFromAll {
		given := x.ctx.Request.Header.PeekAll(cfg.RequestIDHeader)
		if len(given) == 1 && isRequestID(given[0]) {
			return string(given[0])
		}
	}
	return x.id()
}

// isRequestID reports whether s can travel as the id of a request: it stands
// unquoted in logs.
func isRequestID(s []byte) bool {
	for _, c := range s {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= wire.MaxRequestID
}

// tell puts into a job's info frame what the request is called.
func (x *exchange) tell(info *wire.Info) {
	if x.named != "" {
		info.SetField(wire.RequestID, []byte(x.named))
	}
}

// idHeader is the field that tells clients a request's id.
func (f *Front) idHeader() string {
	if f.cfg.RequestIDHeader != "" {
		return f.cfg.RequestIDHeader
	}
	return "X-Request-Id"
}

// peerOf returns the address of a peer; zero: it has none.
func peerOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return plain(tcp.AddrPort().Addr())
}

// IsRequestIDField reports whether a field may be Config.RequestIDHeader, to hold the
// ids of requests: a token that means nothing else here.
func IsRequestIDField(name string) bool {
	h := httptext.Header{{Name: name, Value: "x"}}
	return h.Free()
}
