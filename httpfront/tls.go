package httpfront

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how a front encrypts. All files are PEM, and are read anew when they
// change.
type TLS struct {
	// Certificates are what the front shows. A client gets the first that is
	// for the name that it asks for (SNI), or the first of all. At least one.
	Certificates []Certificate
	// ClientCA is a file with the authorities of clients' certificates; "": none
	// is asked for.
	ClientCA string
	// ClientOptional lets clients in that show no certificate. One that they
	// show has to be good in any case.
	ClientOptional bool
	// MinVersion is the oldest version spoken: tls.VersionTLS12, the default, or
	// tls.VersionTLS13.
	MinVersion uint16
}

// Certificate is a certificate's file, with those of its intermediates behind
// it, and the file of its key, which may be the same.
type Certificate struct{ Cert, Key string }

// validate returns what is wrong, or "".
func (t *TLS) validate() string {
	switch {
	case len(t.Certificates) == 0:
		return "there is no certificate"
	case t.ClientOptional && t.ClientCA == "":
		return "ClientOptional is nothing without ClientCA"
	case t.MinVersion != 0 && t.MinVersion != tls.VersionTLS12 && t.MinVersion != tls.VersionTLS13:
		return "MinVersion is neither TLS 1.2 nor 1.3"
	}
	for _, c := range t.Certificates {
		if c.Cert == "" || c.Key == "" {
			return "a certificate has no file, or no key"
		}
	}
	return ""
}

// files returns the names of all files, some perhaps twice.
func (t *TLS) files() []string {
	var names []string
	for _, c := range t.Certificates {
		names = append(names, c.Cert, c.Key)
	}
	if t.ClientCA != "" {
		names = append(names, t.ClientCA)
	}
	return names
}

// load reads the files. HTTP/2 is not offered: a client that wants nothing else
// is refused here, and not later by the parser.
func (t *TLS) load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if t.MinVersion != 0 {
		c.MinVersion = t.MinVersion
	}
	for _, files := range t.Certificates {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
		}
		c.Certificates = append(c.Certificates, pair)
	}
	if t.ClientCA == "" {
		return c, nil
	}
	text, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("authorities of clients: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if t.ClientOptional {
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("authorities of clients: %s: %w", t.ClientCA, errNoCertificate)
	}
	return c, nil
}

var errNoCertificate = errors.New("there is no certificate in it")
