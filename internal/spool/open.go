package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

var (
	// ErrName says that a name is none of a body, or of one that another front
	// has written.
	ErrName = errors.New("spool: it does not name a body of the job's front")
	// ErrMissing says that a body is not there.
	ErrMissing = errors.New("spool: the body is not there")
)

// Open opens the body of a job from a front's instance for reading, in the first of
// dirs that has it. It follows no links and leaves no directory, whatever the name
// is. The error is ErrName, ErrMissing, or says what is wrong with the file.
func Open(dirs []string, instance uint64, name string, size int64) (*os.File, error) {
	if owner, _, _ := strings.Cut(name, "-"); !isName(name) || owner != fmt.Sprintf("%016x", instance) || instance == 0 {
		return nil, fmt.Errorf("%w: %s", ErrName, strconv.QuoteToASCII(name[:min(len(name), 64)]))
	}
	for _, dir := range dirs {
		f, err := openIn(dir, name, size)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%w: no %s in %s", ErrMissing, name, strings.Join(dirs, ", "))
}

// isName reports whether name is that of a body: 16 digits, a dash, 32 digits.
func isName(name string) bool {
	if len(name) != 49 || name[16] != '-' {
		return false
	}
	for i, c := range []byte(name) {
		if i != 16 && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func openIn(dir, name string, size int64) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	seen, err := root.Lstat(name) // of a link itself
	if err != nil {
		return nil, err
	}
	if !seen.Mode().IsRegular() {
		return nil, fmt.Errorf("spool: %s in %s is no file", name, dir)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !os.SameFile(seen, info):
		err = fmt.Errorf("spool: %s in %s was replaced", name, dir)
	case info.Size() != size:
		err = fmt.Errorf("spool: %s in %s has %d bytes, want %d", name, dir, info.Size(), size)
	default:
		return f, nil
	}
	_ = f.Close()
	return nil, err
}
