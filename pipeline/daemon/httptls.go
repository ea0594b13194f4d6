package daemon

import (
	"crypto/tls"
	"slices"

	"github.com/spf13/pflag"

	"github.com/butterfly-zmq/butterfly/httpfront"
)

// tlsFlags are the flags about encryption of the HTTP front.
type tlsFlags struct {
	certs, keys          []string
	clientCA, clientAuth string
	minVersion           string
}

func (f *tlsFlags) add(flags *pflag.FlagSet) {
	f.clientAuth, f.minVersion = "require", "1.2"
	flags.StringArrayVar(&f.certs, "tls-cert", nil, "PEM `file` with a certificate, read anew when it changes; repeatable, for several names")
	flags.StringArrayVar(&f.keys, "tls-key", nil, "PEM `file` with its key; as often as --tls-cert")
	flags.StringVar(&f.clientCA, "tls-client-ca", "", "PEM `file` with the authorities of clients' certificates; empty: none is asked for")
	flags.StringVar(&f.clientAuth, "tls-client-auth", f.clientAuth, "whether clients have to show a certificate: `require` or optional")
	flags.StringVar(&f.minVersion, "tls-min-version", f.minVersion, "oldest `version` of TLS that is spoken: 1.2 or 1.3")
}

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// config returns what the flags say; nil: no TLS.
func (f *tlsFlags) config() (*httpfront.TLS, error) {
	version, known := tlsVersions[f.minVersion]
	switch {
	case !known:
		return nil, usagef("--tls-min-version %q: want 1.2 or 1.3", f.minVersion)
	case f.clientAuth != "require" && f.clientAuth != "optional":
		return nil, usagef("--tls-client-auth %q: want require or optional", f.clientAuth)
	case len(f.certs) != len(f.keys):
		return nil, usagef("there are %d --tls-cert and %d --tls-key: each certificate needs its key", len(f.certs), len(f.keys))
	case slices.Contains(f.certs, "") || slices.Contains(f.keys, ""):
		return nil, usagef("--tls-cert and --tls-key want files")
	case len(f.certs) == 0 && f.clientCA != "":
		return nil, usagef("--tls-client-ca is nothing without --tls-cert and --tls-key")
	case f.clientAuth == "optional" && f.clientCA == "":
		return nil, usagef("--tls-client-auth is nothing without --tls-client-ca")
	case len(f.certs) == 0:
		return nil, nil
	}
	t := &httpfront.TLS{ClientCA: f.clientCA, ClientOptional: f.clientAuth == "optional", MinVersion: version}
	for i, cert := range f.certs {
		t.Certificates = append(t.Certificates, httpfront.Certificate{Cert: cert, Key: f.keys[i]})
	}
	return t, nil
}
