package daemon

import (
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/butterfly-zmq/butterfly/httpfront"
)

// edgeFlags are the flags about whom the HTTP front speaks to, and how.
type edgeFlags struct {
	tls                          tlsFlags
	trusted                      networks
	forwarded                    string
	requestIDHeader, requestFrom string
	compress                     bool
}

func (f *edgeFlags) add(flags *pflag.FlagSet) {
	f.requestFrom = fromTrusted
	f.tls.add(flags)
	flags.Var(&f.trusted, "trusted-proxy", "address or network of proxies that are believed when they say for whom they ask; repeatable")
	flags.StringVar(&f.forwarded, "forwarded", "", "how they say it, and how workers are told: `x-forwarded`, rfc7239 or none; empty: x-forwarded with --trusted-proxy, else none")
	flags.StringVar(&f.requestIDHeader, "request-id-header", "", "header `field` with the ids of requests, for workers and clients too; empty: none")
	flags.BoolVar(&f.compress, "compress", false, "compress answers of a KiB or more for clients that take zstd, br or gzip")
	flags.StringVar(&f.requestFrom, "request-id-from", f.requestFrom, "whose ids are taken over: `trusted_proxies` or everyone")
}

const (
	fromTrusted  = "trusted_proxies"
	fromEveryone = "everyone"
)

// config returns a front's configuration with what the flags say.
func (f *edgeFlags) config() (c httpfront.Config, err error) {
	if c.TLS, err = f.tls.config(); err != nil {
		return c, err
	}
	if c.Forwarded, err = f.form(); err != nil {
		return c, err
	}
	switch {
	case f.requestFrom != fromTrusted && f.requestFrom != fromEveryone:
		return c, usagef("--request-id-from %q: want %s or %s", f.requestFrom, fromTrusted, fromEveryone)
	case f.requestFrom == fromEveryone && f.requestIDHeader == "":
		return c, usagef("--request-id-from is nothing without --request-id-header")
	case f.requestIDHeader != "" && !httpfront.IsRequestIDField(f.requestIDHeader):
		return c, usagef("--request-id-header %q is no field that may be replaced: X-Request-Id is usual", f.requestIDHeader)
	}
	if f.compress {
		c.Compression = &httpfront.Compression{}
	}
	c.TrustedProxies = httpfront.TrustedProxies(f.trusted)
	c.RequestIDHeader, c.RequestIDFromAll = f.requestIDHeader, f.requestFrom == fromEveryone
	return c, nil
}

func (f *edgeFlags) form() (httpfront.Forwarded, error) {
	switch f.forwarded {
	case "none":
		return httpfront.ForwardedNot, nil
	case "x-forwarded":
		return httpfront.ForwardedX, nil
	case "rfc7239":
		return httpfront.ForwardedRFC7239, nil
	case "":
		if len(f.trusted) > 0 {
			return httpfront.ForwardedX, nil
		}
		return httpfront.ForwardedNot, nil
	}
	return 0, usagef("--forwarded %q: want x-forwarded, rfc7239 or none", f.forwarded)
}

// networks is a flag for addresses and networks.
type networks []netip.Prefix

// String implements pflag.Value.
func (n *networks) String() string {
	s := ""
	for _, p := range *n {
		s += p.String() + " "
	}
	return s
}

// Type implements pflag.Value.
func (n *networks) Type() string { return "network" }

// Set implements pflag.Value.
func (n *networks) Set(s string) error {
	p, err := netip.ParsePrefix(s)
	if a, alone := netip.ParseAddr(s); alone == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return usagef("%q is no address or network like 10.0.0.0/8", s)
	}
	*n = append(*n, p)
	return nil
}
