package httpfront

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often the files of certificates are looked at, at most:
// when a client comes, and not when none does.
const lookEvery = time.Second

// certificates are those of a front as its files have them now. Files that
// cannot be used, as while they are being written, change nothing.
type certificates struct {
	files   TLS
	log     *slog.Logger
	clock   func() time.Time
	shown   *tls.Config // what connections are made with: it asks for the current one
	current atomic.Pointer[tls.Config]

	mu     sync.Mutex // guards the fields below
	looked time.Time
	seen   []stamp // of the files as they were read
	failed []stamp // of files that have been complained of
}

// stamp is what is looked at of a file to see it change.
type stamp struct {
	changed time.Time
	size    int64
	missing bool
}

// loadCertificates reads the files for the first time.
func loadCertificates(files TLS, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log, clock: time.Now}
	// The keys of session tickets are shown's, whatever is current.
	c.shown = &tls.Config{GetConfigForClient: c.forClient}
	seen := c.stamps()
	config, err := files.load()
	if err != nil {
		return nil, fmt.Errorf("httpfront: %w", err)
	}
	c.use(config)
	c.seen, c.looked = seen, c.clock()
	return c, nil
}

func (c *certificates) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.refresh()
	return c.current.Load(), nil
}

// refresh reads the files if they have changed. One client's handshake does so,
// and the others go on meanwhile.
func (c *certificates) refresh() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	now := c.clock()
	if now.Sub(c.looked) < lookEvery {
		return
	}
	c.looked = now
	stamps := c.stamps()
	if slices.Equal(stamps, c.seen) {
		return
	}
	config, err := c.files.load()
	if err != nil {
		if !slices.Equal(stamps, c.failed) {
			c.failed = stamps
			c.log.Warn("certificates not reloaded: the old ones stay", "err", err)
		}
		return
	}
	c.use(config)
	c.seen, c.failed = stamps, nil
	c.log.Info("certificates reloaded", "not_after", config.Certificates[0].Leaf.NotAfter)
}

// use shows config to the clients that come from now on.
func (c *certificates) use(config *tls.Config) {
	for i := range config.Certificates {
		if leaf := config.Certificates[i].Leaf; !leaf.NotAfter.After(c.clock()) {
			c.log.Warn("certificate has expired", "subject", subject(leaf), "not_after", leaf.NotAfter)
		}
	}
	c.current.Store(config)
}

func subject(leaf *x509.Certificate) string {
	if len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return leaf.Subject.String()
}

// stamps are taken before files are read: one that changes meanwhile is read
// once more.
func (c *certificates) stamps() []stamp {
	var all []stamp
	for _, name := range c.files.files() {
		info, err := os.Stat(name)
		if err != nil {
			all = append(all, stamp{missing: errors.Is(err, fs.ErrNotExist)})
			continue
		}
		all = append(all, stamp{changed: info.ModTime(), size: info.Size()})
	}
	return all
}
