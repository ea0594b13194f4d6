package mtls

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Config says who a process is, and whom it meets at tls+tcp endpoints. The
// value is copied.
type Config struct {
	// CA are files with certificates of authorities, in PEM; peers have theirs
	// from one of these. The system's are not trusted. Needed.
	CA []string
	// Cert is a file with the process's own certificate, the intermediate ones
	// behind it, and Key one with its key; both in PEM, and needed.
	Cert, Key string
	// Peers are the names that may be at the other end of each endpoint, by the
	// endpoint as it is bound or dialed; CheckName says how they look.
	Peers map[string][]string
}

// Validate returns an error that joins all that is wrong, or nil. It reads no
// file.
func (c *Config) Validate() error {
	var errs []error
	if len(c.CA) == 0 || slices.Contains(c.CA, "") {
		errs = append(errs, errors.New("mtls: no file with the authority's certificate is named"))
	}
	if c.Cert == "" {
		errs = append(errs, errors.New("mtls: no file with our certificate is named"))
	}
	if c.Key == "" {
		errs = append(errs, errors.New("mtls: no file with the key of our certificate is named"))
	}
	for _, endpoint := range slices.Sorted(maps.Keys(c.Peers)) {
		for _, name := range c.Peers[endpoint] {
			if err := CheckName(name); err != nil {
				errs = append(errs, fmt.Errorf("%w (at %s)", err, endpoint))
			}
		}
	}
	return errors.Join(errs...)
}
