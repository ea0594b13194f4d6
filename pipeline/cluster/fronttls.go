package cluster

import (
	"crypto/tls"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// frontTLS is what a graph says of encryption, as the front's server wants it.
func frontTLS(t *graph.FrontTLS) *httpfront.TLS {
	if t.IsZero() {
		return nil
	}
	to := &httpfront.TLS{
		Certificates:   []httpfront.Certificate{httpfront.Certificate(t.Certificate)},
		ClientCA:       t.ClientCA,
		ClientOptional: t.ClientAuth == graph.ClientAuthOptional,
		MinVersion:     tls.VersionTLS12,
	}
	if t.MinVersion == graph.TLS13 {
		to.MinVersion = tls.VersionTLS13
	}
	for _, c := range t.SNI {
		to.Certificates = append(to.Certificates, httpfront.Certificate(c))
	}
	return to
}
