// Package spool keeps the bodies of requests in files, for workers to read: on one
// side a Spool, which writes and removes them, on the other Open.
//
// A file is named by the instance of the front that wrote it and 128 random bits:
//
//	0123456789abcdef-00112233445566778899aabbccddeeff
//
// so that nobody guesses it, and whoever reads a name knows whose it is. Beside the
// files lies a lock for each front that runs, 0123456789abcdef.front, by which a
// later one tells the files of a dead front from those of a live one.
package spool

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of a Config.
const (
	DefaultMaxBytes = 10 << 30
	DefaultPatience = 10 * time.Second
)

// maxWriters is how many writes to the disk are under way at a time. Each holds a
// thread: a disk that hangs is not to take as many as there are clients.
const maxWriters = 32

var (
	// ErrFull says that more would be spooled than may be.
	ErrFull = errors.New("spool: there is no room for more")
	// ErrBusy says that the disk is too slow for what is to be written.
	ErrBusy = errors.New("spool: the disk does not keep up")
	// ErrDisk says that the disk is full, or its owner's share of it.
	ErrDisk = errors.New("spool: the disk is full")
	// ErrClosed says that the Spool is not open.
	ErrClosed = errors.New("spool: it is closed")
)

// Config configures a Spool.
type Config struct {
	// Dir is the directory for the files. It is made if it is not there, for its
	// owner alone.
	Dir string
	// MaxBytes bounds all files together; 0: DefaultMaxBytes.
	MaxBytes int64
	// Instance is the front's.
	Instance uint64
	// Patience is how long a write may wait for others to end; 0:
	// DefaultPatience.
	Patience time.Duration
	// Logger gets what is removed and what is wrong; nil: nothing.
	Logger *slog.Logger
}

// Spool writes bodies to files. Its methods may be called concurrently.
type Spool struct {
	cfg     Config
	used    atomic.Int64
	writers chan struct{} // holds a token for each write under way

	mu    sync.Mutex // guards the fields below
	root  *os.Root   // nil: not open
	lock  *os.File
	files map[string]struct{} // that have not been removed
}

// New returns a Spool that has acquired nothing.
func New(cfg Config) *Spool {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Patience == 0 {
		cfg.Patience = DefaultPatience
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Spool{cfg: cfg, writers: make(chan struct{}, maxWriters), files: make(map[string]struct{})}
}

// Open makes the directory ready, and removes the files of fronts on this machine
// that have died. Close ends what it begins.
func (s *Spool) Open() error {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("spool: making the directory: %w", err)
	}
	root, err := os.OpenRoot(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("spool: opening the directory: %w", err)
	}
	lock, err := announce(root, s.cfg.Instance)
	if err != nil {
		_ = root.Close()
		return fmt.Errorf("spool: the directory %s: %w", s.cfg.Dir, err)
	}
	if n := sweep(root); n > 0 {
		s.cfg.Logger.Info("bodies of a front that died were removed", "dir", s.cfg.Dir, "files", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.root, s.lock = root, lock
	return nil
}

// Close removes all files that are left, and the lock. Files that are open are of
// no use any more.
func (s *Spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == nil {
		return
	}
	for name := range s.files {
		_ = s.root.Remove(name)
	}
	clear(s.files)
	_ = s.root.Remove(lockName(s.cfg.Instance))
	_ = s.lock.Close()
	_ = s.root.Close()
	s.root = nil
}

// Used returns how many bytes the files hold.
func (s *Spool) Used() int64 { return s.used.Load() }

// HasRoom reports whether n bytes more may be spooled now. It reserves nothing.
func (s *Spool) HasRoom(n int64) bool { return s.used.Load()+n <= s.cfg.MaxBytes }

// Create makes an empty file. The error is ErrClosed, ErrBusy, ErrDisk, or the
// system's.
func (s *Spool) Create() (*File, error) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails
	name := fmt.Sprintf("%016x-%s", s.cfg.Instance, hex.EncodeToString(random[:]))
	s.mu.Lock()
	root := s.root
	if root != nil {
		s.files[name] = struct{}{}
	}
	s.mu.Unlock()
	if root == nil {
		return nil, ErrClosed
	}
	file := &File{spool: s, root: root, name: name}
	err := s.write(func() (err error) {
		file.f, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		file.Remove()
		return nil, err
	}
	return file, nil
}

// write does something to the disk, when it is its turn.
func (s *Spool) write(do func() error) error {
	select {
	case s.writers <- struct{}{}:
	default:
		late := time.NewTimer(s.cfg.Patience)
		defer late.Stop()
		select {
		case s.writers <- struct{}{}:
		case <-late.C:
			return ErrBusy
		}
	}
	defer func() { <-s.writers }()
	err := do()
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return err
}

// File is one body. One goroutine uses it at a time.
type File struct {
	spool *Spool
	root  *os.Root
	name  string
	f     *os.File // nil: it has all its bytes
	size  int64
}

// Name returns what the file is called in the directory.
func (f *File) Name() string { return f.name }

// Size returns how many bytes have been written.
func (f *File) Size() int64 { return f.size }

// Write implements io.Writer. The error is ErrFull, ErrBusy, ErrDisk, or the
// system's.
func (f *File) Write(p []byte) (n int, err error) {
	s := f.spool
	if s.used.Add(int64(len(p))) > s.cfg.MaxBytes {
		s.used.Add(-int64(len(p)))
		return 0, ErrFull
	}
	f.size += int64(len(p))
	err = s.write(func() error {
		n, err = f.f.Write(p)
		return err
	})
	return n, err
}

// Done says that the file has all its bytes: it may be read by others.
func (f *File) Done() error {
	err := f.spool.write(f.f.Close)
	f.f = nil
	return err
}

// Remove removes the file. Whoever has it open can read on. It may be called twice.
func (f *File) Remove() {
	s := f.spool
	s.mu.Lock()
	_, there := s.files[f.name]
	delete(s.files, f.name)
	s.mu.Unlock()
	if f.f != nil {
		_ = f.f.Close()
		f.f = nil
	}
	s.used.Add(-f.size)
	f.size = 0
	if !there {
		return
	}
	if err := f.root.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Logger.Warn("body not removed", "dir", s.cfg.Dir, "file", f.name, "err", err)
	}
}
