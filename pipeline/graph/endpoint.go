package graph

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// endpointParts are what stands in tcp://host:port, tls+tcp://host:port or
// ipc://path.
type endpointParts struct {
	scheme     string // "tcp" or "ipc"
	tls        bool   // it is tls+tcp
	host, port string // of tcp, without brackets
	path       string // of ipc
}

// transport is what stands before ://.
func (e endpointParts) transport() string {
	if e.tls {
		return "tls+" + e.scheme
	}
	return e.scheme
}

// loopbackHost is the host of an endpoint that names none: only this machine
// gets to it.
const loopbackHost = "127.0.0.1"

// maxSocketPath is what a socket's address holds on every system, in bytes.
const maxSocketPath = 103

const endpointHint = "write tcp://host:port, tls+tcp://host:port or ipc:///path"

// splitEndpoint reads an endpoint that other processes are to reach.
func splitEndpoint(s string) (endpointParts, *flaw) {
	scheme, address, found := strings.Cut(s, "://")
	switch {
	case !found:
		return endpointParts{}, flawf(endpointHint, "%q is no endpoint", brief(s))
	case scheme == "inproc":
		return endpointParts{}, flawf(endpointHint+", or leave the key out", "%q is inside one process", brief(s))
	case scheme == "ipc":
		return splitIPC(s, address)
	case scheme == "tcp":
		return splitTCP(s, address)
	case scheme == "tls+tcp":
		e, wrong := splitTCP(s, address)
		e.tls = true
		return e, wrong
	}
	return endpointParts{}, flawf(endpointHint, "%q: the transport %q is unknown", brief(s), brief(scheme))
}

func splitIPC(s, path string) (endpointParts, *flaw) {
	e := endpointParts{scheme: "ipc", path: path}
	switch {
	case path == "" || path == "@":
		return e, flawf("write ipc:///path", "%q has no path", s)
	case path == "*":
		return e, flawf("name a file that both sides know", "%q is a wildcard", s)
	case strings.IndexByte(path, 0) >= 0:
		return e, flawf("", "%q holds a zero byte", brief(s))
	case len(path) > maxSocketPath:
		return e, flawf("use a shorter or a relative one", "%q: the path has %d bytes, sockets allow %d", brief(s), len(path), maxSocketPath)
	}
	return e, nil
}

func splitTCP(s, address string) (endpointParts, *flaw) {
	host, port, err := net.SplitHostPort(address)
	e := endpointParts{scheme: "tcp", host: host, port: port}
	switch {
	case err != nil:
		return e, flawf("write tcp://host:port, an IPv6 address in brackets", "%q is no host and port", brief(s))
	case host == "":
		e.host = loopbackHost
	case !isHost(host):
		return e, flawf("", "%q: %q is no host", brief(s), brief(host))
	}
	if !isPort(port) || port == "0" {
		return e, flawf("choose one that all processes know", "%q: the port is no number from 1 to 65535", brief(s))
	}
	return e, nil
}

// String returns the endpoint as all others read it.
func (e endpointParts) String() string {
	if e.scheme == "tcp" {
		return e.transport() + "://" + net.JoinHostPort(e.host, e.port)
	}
	return e.scheme + "://" + e.path
}

// anyHost reports whether the endpoint stands for every address of the machine.
func (e endpointParts) anyHost() bool {
	ip := net.ParseIP(e.host)
	return e.host == "*" || ip != nil && ip.IsUnspecified()
}

func isHost(s string) bool {
	if s == "*" {
		return true
	}
	for _, c := range []byte(s) {
		if !isLetter(c) && !isDigit(c) && !strings.ContainsRune("-._:%", rune(c)) {
			return false
		}
	}
	return s != ""
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil && digits(s) && (s == "0" || s[0] != '0')
}

// bindable is an endpoint to bind.
func bindable() kind[string] {
	return word("an endpoint", schema{"type": "string", "pattern": `^((tls\+)?tcp://.*:[0-9]+|ipc://.+)$`}, func(s string) (string, *flaw) {
		e, wrong := splitEndpoint(s)
		return e.String(), wrong
	})
}

// connectable is an endpoint to connect to.
func connectable() kind[string] {
	return word("an endpoint", connectSchema(), func(s string) (string, *flaw) {
		e, wrong := splitEndpoint(s)
		if wrong == nil && strings.Contains(s, ",") {
			wrong = flawf("name one without", "%q has a comma, which separates endpoints where several are told", brief(s))
		}
		if wrong == nil && e.scheme == "tcp" && e.anyHost() {
			wrong = flawf(fmt.Sprintf(`write {bind: "%[1]s://*:%[2]s", connect: "%[1]s://HOST:%[2]s"}`, e.transport(), e.port),
				"%q is every address: there is none to connect to", s)
		}
		return e.String(), wrong
	})
}

func connectSchema() schema {
	return schema{"type": "string", "pattern": `^((tls\+)?tcp://[^*]*:[0-9]+|ipc://.+)$`}
}

// endpoints is one endpoint, or one to bind and another to connect to.
func endpoints() kind[Endpoint] {
	return kind[Endpoint]{
		schema: schema{"anyOf": []schema{connectSchema(), variableSchema(), {"$ref": "#/definitions/endpoint"}}},
		read: func(c cursor) (e Endpoint, ok bool) {
			if !c.isMapping() {
				e.Connect, ok = connectable().read(c)
				e.Bind = e.Connect
				return e, ok
			}
			ok = readKeys(c, endpointKeys(), &e)
			bind, _ := splitEndpoint(e.Bind)
			connect, _ := splitEndpoint(e.Connect)
			if ok && bind.transport() != connect.transport() {
				c.problem("bind is "+bind.transport()+" and connect is "+connect.transport(), "use one transport for both")
			}
			return e, ok
		},
	}
}

// address is where HTTP is served, as host:port.
func address() kind[string] {
	const want = "an address like 127.0.0.1:8002"
	return word(want, schema{"type": "string", "pattern": `^(tcp://)?[^/]*:[0-9]+$`}, func(s string) (string, *flaw) {
		rest, isEndpoint := strings.CutPrefix(s, "tcp://")
		host, port, err := net.SplitHostPort(rest)
		if err != nil || host != "" && !isHost(host) || !isPort(port) {
			return "", flawf("write host:port, or :port for every address", "%q is no address to listen on", brief(s))
		}
		if host == "*" {
			if !isEndpoint {
				return "", flawf("write :"+port+" for every address", "%q is no address to listen on", s)
			}
			host = ""
		}
		return net.JoinHostPort(host, port), nil
	})
}
