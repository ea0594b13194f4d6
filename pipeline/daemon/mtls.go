package daemon

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// mtlsFlags say who a process is at tls+tcp endpoints, and whom it meets there.
type mtlsFlags struct {
	ca        []string
	cert, key string
	allow     allowFlag
}

func (f *mtlsFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.ca, "mtls-ca", nil, "`file` with the certificate of an authority for tls+tcp endpoints; repeatable")
	flags.StringVar(&f.cert, "mtls-cert", "", "`file` with our certificate")
	flags.StringVar(&f.key, "mtls-key", "", "`file` with its key")
	flags.Var(&f.allow, "mtls-allow", "who may be what by a name in his certificate: fronts=NAME, proxies=NAME, workers=NAME, or senders=NAME for workers of other stages that forward to this one; repeatable")
}

// meeting is an endpoint, and the kinds of those at its other end.
type meeting struct {
	endpoint string
	kinds    []string
}

// The kinds of --mtls-allow.
const (
	kindFronts  = "fronts"
	kindProxies = "proxies"
	kindWorkers = "workers"
	kindSenders = "senders" // workers of other stages
)

// meet returns meetings with the same kinds, at endpoints that commas may
// separate.
func meet(endpoints []string, kinds ...string) []meeting {
	var all []meeting
	for _, e := range endpoints {
		for _, one := range loopback.Endpoints(e) {
			all = append(all, meeting{one, kinds})
		}
	}
	return all
}

// config returns what the flags say for the endpoints that are tls+tcp; nil where
// none is.
func (f *mtlsFlags) config(meetings ...[]meeting) (*cluster.MTLS, error) {
	c := &cluster.MTLS{CA: f.ca, Cert: f.cert, Key: f.key, Peers: make(map[string][]string)}
	for _, m := range slices.Concat(meetings...) {
		if !cluster.IsTLS(m.endpoint) {
			continue
		}
		var names []string
		for _, kind := range m.kinds {
			names = append(names, f.allow[kind]...)
		}
		if len(names) == 0 {
			return nil, usagef("%s: nobody may be at its other end: want --mtls-allow %s=NAME", m.endpoint, m.kinds[0])
		}
		c.Peers[m.endpoint] = names
	}
	switch {
	case len(c.Peers) > 0:
		if len(f.ca) == 0 || f.cert == "" || f.key == "" {
			return nil, usagef("tls+tcp endpoints want --mtls-ca, --mtls-cert and --mtls-key")
		}
		return c, nil
	case len(f.ca) > 0 || f.cert != "" || f.key != "" || len(f.allow) > 0:
		return nil, usagef("--mtls-ca, --mtls-cert, --mtls-key and --mtls-allow are for tls+tcp endpoints: there are none")
	}
	return nil, nil
}

// allowFlag is a flag for names by kind of part.
type allowFlag map[string][]string

// String implements pflag.Value.
func (f *allowFlag) String() string { return "" }

// Type implements pflag.Value.
func (f *allowFlag) Type() string { return "kind=name" }

// Set implements pflag.Value.
func (f *allowFlag) Set(s string) error {
	kind, name, _ := strings.Cut(s, "=")
	if !slices.Contains([]string{kindFronts, kindProxies, kindWorkers, kindSenders}, kind) {
		return fmt.Errorf("%q: want fronts=NAME, proxies=NAME, workers=NAME or senders=NAME", s)
	}
	if err := cluster.CheckName(name); err != nil {
		return err
	}
	if *f == nil {
		*f = make(allowFlag)
	}
	(*f)[kind] = append((*f)[kind], name)
	return nil
}

// network is a flag for who gets to plain endpoints.
type network string

// String implements pflag.Value.
func (n *network) String() string { return string(*n) }

// Type implements pflag.Value.
func (n *network) Type() string { return "which" }

// Set implements pflag.Value.
func (n *network) Set(s string) error {
	if s != "private" && s != "untrusted" {
		return fmt.Errorf("want private or untrusted")
	}
	*n = network(s)
	return nil
}

func (n *network) add(flags *pflag.FlagSet) {
	*n = "untrusted"
	flags.Var(n, "network", "private: only parts of the pipeline get to plain tcp endpoints, so that binding one beyond this machine is no warning")
}

// warn logs that endpoints which are about to be bound are open to others.
func (n network) warn(log *slog.Logger, bound ...string) {
	open := slices.DeleteFunc(bound, func(e string) bool { return !cluster.IsOpen(e) })
	if len(open) > 0 && n != "private" {
		log.Warn("plain tcp beyond this machine: whoever gets to the port can send jobs and answers, and read them",
			"endpoints", open, "hint", "use tls+tcp, an address of this machine, or say that the network is private")
	}
}
