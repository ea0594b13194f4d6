package mtls

import (
	"crypto/x509"
	"fmt"
	"strings"
)

// NameError says that a certificate is good, and its holder not whom the
// endpoint is for.
type NameError struct {
	Names []string // the certificate's
	Want  []string // those that may be there
}

func (e *NameError) Error() string {
	if len(e.Names) == 0 {
		return fmt.Sprintf("mtls: the peer's certificate has no DNS and no URI name, want %s", strings.Join(e.Want, " or "))
	}
	return fmt.Sprintf("mtls: the peer's certificate is for %s, want %s", strings.Join(e.Names, ", "), strings.Join(e.Want, " or "))
}

// CheckName says what is wrong with a name that peers may have:
//
//	proxy.example            a DNS name
//	*.workers.example        one with any first label
//	spiffe://example/front   a URI
//	spiffe://example/work/*  one that begins so, and goes on
func CheckName(s string) error {
	problem := ""
	switch {
	case s == "":
		problem = "the name is empty"
	case strings.ContainsAny(s, " \t\r\n,"):
		problem = "a name has no spaces and no commas"
	case strings.Contains(s, "://"):
		scheme, rest, _ := strings.Cut(strings.TrimSuffix(s, "/*"), "://")
		if scheme == "" || rest == "" || strings.Contains(scheme+rest, "*") {
			problem = "want a URI like spiffe://example/proxy, or spiffe://example/workers/* for all below one"
		}
	case strings.Contains(strings.TrimPrefix(s, "*."), "*") || s == "*." || strings.ContainsAny(s, "/:@"):
		problem = "want a DNS name like proxy.example, *.example for all of one domain, or a URI"
	}
	if problem != "" {
		return fmt.Errorf("mtls: the name %q: %s", s, problem)
	}
	return nil
}

// match reports whether a certificate's name is one that is allowed. A wildcard
// in the certificate itself is nobody's name.
func match(allowed, name string, isURI bool) bool {
	if strings.Contains(name, "*") || strings.Contains(allowed, "://") != isURI {
		return false
	}
	if isURI {
		if above, all := strings.CutSuffix(allowed, "*"); all {
			return strings.HasPrefix(name, above) && len(name) > len(above)
		}
		return name == allowed
	}
	name, allowed = strings.TrimSuffix(name, "."), strings.TrimSuffix(allowed, ".")
	if domain, all := strings.CutPrefix(allowed, "*."); all {
		first, rest, _ := strings.Cut(name, ".")
		return first != "" && strings.EqualFold(rest, domain)
	}
	return strings.EqualFold(name, allowed)
}

// namesOf returns the names of a certificate: DNS names, then URIs.
func namesOf(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}

// checkNames returns a *NameError unless the certificate has a name of want.
func checkNames(c *x509.Certificate, want []string) error {
	names := namesOf(c)
	for i, name := range names {
		for _, allowed := range want {
			if match(allowed, name, i >= len(c.DNSNames)) {
				return nil
			}
		}
	}
	return &NameError{Names: names, Want: want}
}
