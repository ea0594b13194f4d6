package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// lookEvery is how long what was read is good without a look whether the files
// have changed.
const lookEvery = time.Second

// Identity is who this process is to others, and whom it trusts. It may be used
// concurrently.
type Identity struct {
	cfg Config
	log *slog.Logger

	mu     sync.Mutex // guards the fields below; held while files are read
	now    *material  // nil: nothing has been read yet
	looked time.Time
	stamps []stamp // of the files when they were last read, good or bad
	wrong  string  // why they could not be used then; "": they could

	stands sync.Map // endpoint of a name -> []string, those of its addresses
}

// material is what the files held. It is not changed.
type material struct {
	own         tls.Certificate
	authorities *x509.CertPool
}

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	time time.Time
	file fs.FileInfo
}

func (s stamp) equal(o stamp) bool {
	return s.size == o.size && s.time.Equal(o.time) && os.SameFile(s.file, o.file)
}

// Optional is New for a Config that may be nil: so is the Identity then.
func Optional(c *Config, log *slog.Logger) (*Identity, error) {
	if c == nil {
		return nil, nil
	}
	return New(*c, log)
}

// New validates c and reads nothing. A nil Logger is told nothing.
func New(c Config, log *slog.Logger) (*Identity, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Identity{cfg: c, log: log}, nil
}

// Load reads the files, for a process that is to fail at its start if they are
// no good. Later they are read as handshakes need them. A nil Identity has none.
func (i *Identity) Load() error {
	if i == nil {
		return nil
	}
	_, err := i.current()
	return err
}

// Knows says why nobody can be met at an endpoint: its peers have no names.
func (i *Identity) Knows(endpoint string) error {
	if i == nil {
		return fmt.Errorf("mtls: %s needs certificates: none are configured", endpoint)
	}
	if len(i.peers(endpoint)) == 0 {
		return fmt.Errorf("mtls: nobody may be at the other end of %s: no names are configured", endpoint)
	}
	return nil
}

// Stand has the peers of an endpoint that is dialed be those of others, too: of
// its host's addresses, in place of those that it stood for before.
func (i *Identity) Stand(endpoint string, addresses []string) {
	if i != nil {
		i.stands.Store(endpoint, addresses)
	}
}

// peers returns the names that may be at the other end of an endpoint.
func (i *Identity) peers(endpoint string) []string {
	if names, ok := i.cfg.Peers[endpoint]; ok {
		return names
	}
	var names []string
	i.stands.Range(func(name, addresses any) bool {
		if slices.Contains(addresses.([]string), endpoint) {
			names = append(names, i.cfg.Peers[name.(string)]...)
		}
		return true
	})
	return names
}

// current returns what the files hold. New files that cannot be used leave the
// old ones in force; then, and when they could be read, that is logged.
func (i *Identity) current() (*material, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	if i.now != nil && now.Sub(i.looked) < lookEvery {
		return i.now, nil
	}
	stamps, err := i.look()
	if err == nil && i.now != nil && i.wrong == "" && slices.EqualFunc(stamps, i.stamps, stamp.equal) {
		i.looked = now
		return i.now, nil
	}
	var m *material
	if err == nil {
		m, err = i.read()
	}
	i.looked = now
	if err != nil {
		return i.keep(err)
	}
	i.now, i.stamps, i.wrong = m, stamps, ""
	i.tell(now)
	return m, nil
}

// keep stays with what there is. The caller holds the lock.
func (i *Identity) keep(err error) (*material, error) {
	if i.now == nil {
		return nil, err
	}
	if i.wrong != err.Error() {
		i.wrong = err.Error()
		i.log.Error("new certificates cannot be used, the old ones stay in force", "err", err)
	}
	return i.now, nil
}

// tell logs what was read. The caller holds the lock.
func (i *Identity) tell(now time.Time) {
	leaf := i.now.own.Leaf
	log := i.log.Info
	if now.After(leaf.NotAfter) {
		log = i.log.Error
	}
	log("certificate read", "names", namesOf(leaf), "expires", leaf.NotAfter, "file", i.cfg.Cert)
}

// look returns the state of all files.
func (i *Identity) look() ([]stamp, error) {
	var all []stamp
	for _, name := range append([]string{i.cfg.Cert, i.cfg.Key}, i.cfg.CA...) {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("mtls: %w", err)
		}
		all = append(all, stamp{info.Size(), info.ModTime(), info})
	}
	return all, nil
}

// maxFile bounds what is read of a file.
const maxFile = 4 << 20

// read reads all files.
func (i *Identity) read() (*material, error) {
	cert, err := readFile(i.cfg.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readFile(i.cfg.Key)
	if err != nil {
		return nil, err
	}
	m := &material{authorities: x509.NewCertPool()}
	if m.own, err = tls.X509KeyPair(cert, key); err != nil {
		return nil, fmt.Errorf("mtls: %s with the key %s: %w", i.cfg.Cert, i.cfg.Key, err)
	}
	for _, name := range i.cfg.CA {
		pem, err := readFile(name)
		if err != nil {
			return nil, err
		}
		if !m.authorities.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("mtls: %s holds no certificate in PEM", name)
		}
	}
	return m, nil
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("mtls: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("mtls: %s is no file of at most %d bytes", name, maxFile)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("mtls: %w", err)
	}
	return b, nil
}
