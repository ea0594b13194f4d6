//go:build linux

package spool

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const instance = 0x1122334455667788

func newSpool(t *testing.T, cfg Config) *Spool {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "deep", "spool")
	}
	if cfg.Instance == 0 {
		cfg.Instance = instance
	}
	s := New(cfg)
	require.NoError(t, s.Open())
	t.Cleanup(s.Close)
	return s
}

// body makes a file with a text.
func body(t *testing.T, s *Spool, text string) *File {
	t.Helper()
	f, err := s.Create()
	require.NoError(t, err)
	n, err := f.Write([]byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), n)
	require.NoError(t, f.Done())
	return f
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestABodyIsWrittenReadAndRemoved(t *testing.T) {
	s := newSpool(t, Config{})
	f := body(t, s, "hello")
	assert.EqualValues(t, 5, s.Used())
	info, err := os.Stat(filepath.Join(s.cfg.Dir, f.Name()))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	info, err = os.Stat(s.cfg.Dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	r, err := Open([]string{t.TempDir(), s.cfg.Dir}, instance, f.Name(), 5)
	require.NoError(t, err)
	f.Remove()
	f.Remove()
	assert.Zero(t, s.Used())
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(text), "whoever has it open can read on")
	require.NoError(t, r.Close())
	_, err = Open([]string{s.cfg.Dir}, instance, f.Name(), 5)
	assert.ErrorIs(t, err, ErrMissing)

	left := body(t, s, "left")
	unfinished, err := s.Create()
	require.NoError(t, err)
	s.Close()
	assert.Empty(t, entries(t, s.cfg.Dir), "what is left goes with the spool")
	left.Remove()
	unfinished.Remove()
	_, err = s.Create()
	assert.ErrorIs(t, err, ErrClosed)
}

// Only names that a front of the job's instance has made open anything, and
// only plain files of the right size.
func TestOpenLeavesNoDirectoryAndFollowsNoLink(t *testing.T) {
	s := newSpool(t, Config{})
	f := body(t, s, "hello")
	secret := filepath.Join(t.TempDir(), f.Name())
	require.NoError(t, os.WriteFile(secret, []byte("hello"), 0o600))
	named := func(last string) string { return f.Name()[:len(f.Name())-1] + last }
	hexed := func(i int) string { return f.Name()[:17] + strings.Repeat(string("0123456789abcdef"[i]), 32) }
	link, dir, pipe := hexed(1), hexed(2), hexed(3)
	require.NoError(t, os.Symlink(secret, filepath.Join(s.cfg.Dir, link)))
	require.NoError(t, os.Mkdir(filepath.Join(s.cfg.Dir, dir), 0o700))
	require.NoError(t, syscall.Mkfifo(filepath.Join(s.cfg.Dir, pipe), 0o600))
	inside := hexed(4)
	require.NoError(t, os.Symlink(f.Name(), filepath.Join(s.cfg.Dir, inside)))

	for _, name := range []string{
		"", ".", "..", "/", f.Name()[:48], f.Name() + "0", "../" + f.Name(), secret, strings.ToUpper(f.Name()),
		"../spool/" + f.Name(), named("\x00"), named("/"), named("g"), lockName(instance),
	} {
		_, err := Open([]string{s.cfg.Dir}, instance, name, 5)
		assert.ErrorIs(t, err, ErrName, "%q", name)
	}
	_, err := Open([]string{s.cfg.Dir}, instance+1, f.Name(), 5)
	assert.ErrorIs(t, err, ErrName, "another front's")
	_, err = Open([]string{s.cfg.Dir}, 0, strings.Repeat("0", 16)+f.Name()[16:], 5)
	assert.ErrorIs(t, err, ErrName, "a front of prime_server's")
	for name, want := range map[string]string{link: "is no file", inside: "is no file", dir: "is no file", pipe: "is no file"} {
		_, err := Open([]string{s.cfg.Dir}, instance, name, 5)
		assert.ErrorContains(t, err, want)
	}
	_, err = Open([]string{s.cfg.Dir}, instance, f.Name(), 4)
	assert.ErrorContains(t, err, "has 5 bytes, want 4")
	_, err = Open(nil, instance, f.Name(), 5)
	assert.ErrorIs(t, err, ErrMissing)
}

func TestBytesAreBounded(t *testing.T) {
	s := newSpool(t, Config{MaxBytes: 10})
	assert.True(t, s.HasRoom(10))
	f := body(t, s, "12345678")
	assert.False(t, s.HasRoom(3))
	g, err := s.Create()
	require.NoError(t, err)
	_, err = g.Write([]byte("123"))
	assert.ErrorIs(t, err, ErrFull)
	_, err = g.Write([]byte("12"))
	require.NoError(t, err)
	f.Remove()
	_, err = g.Write(bytes.Repeat([]byte("1"), 8))
	require.NoError(t, err)
	g.Remove()
	assert.Zero(t, s.Used())
}

// A disk that hangs takes a bounded number of threads.
func TestWritersAreBounded(t *testing.T) {
	s := newSpool(t, Config{Patience: time.Millisecond})
	f, err := s.Create()
	require.NoError(t, err)
	for range maxWriters {
		s.writers <- struct{}{}
	}
	_, err = f.Write([]byte("x"))
	assert.ErrorIs(t, err, ErrBusy)
	_, err = s.Create()
	assert.ErrorIs(t, err, ErrBusy)
	<-s.writers
	_, err = f.Write([]byte("x"))
	assert.NoError(t, err)
}

// TestMain is a front that is killed, if it is told so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_OF_A_FRONT"); dir != "" {
		s := New(Config{Dir: dir, Instance: instance})
		if err := s.Open(); err != nil {
			panic(err)
		}
		for range 3 {
			if _, err := s.Create(); err != nil {
				panic(err)
			}
		}
		_, _ = os.Stdout.WriteString("ready\n")
		select {}
	}
	os.Exit(m.Run())
}

// What a killed front has left is removed when another starts; what a live one has,
// or one of another machine, or nobody, is not.
func TestLeftoversOfADeadFrontAreRemoved(t *testing.T) {
	dir := t.TempDir()
	front := exec.Command(os.Args[0])
	front.Env = append(os.Environ(), "SPOOL_OF_A_FRONT="+dir)
	out, err := front.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, front.Start())
	ready := make([]byte, 6)
	_, err = io.ReadFull(out, ready)
	require.NoError(t, err)
	others := []string{
		"0000000000000001-" + strings.Repeat("0", 32), // nobody's
		"0000000000000002-" + strings.Repeat("0", 32), // another machine's
		"notes.txt",
	}
	for _, name := range others {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, lockName(2)), []byte("elsewhere\n"), 0o600))
	others = append(others, lockName(2))

	second := New(Config{Dir: dir, Instance: 3})
	require.NoError(t, second.Open())
	assert.Len(t, entries(t, dir), 3+1+len(others)+1, "the first lives")
	second.Close()

	require.NoError(t, front.Process.Kill())
	_ = front.Wait()
	third := New(Config{Dir: dir, Instance: 4})
	require.NoError(t, third.Open())
	assert.ElementsMatch(t, append(others, lockName(4)), entries(t, dir))
	third.Close()
}

func TestADirectoryThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	assert.ErrorContains(t, New(Config{Dir: filepath.Join(file, "x"), Instance: 1}).Open(), "making the directory")
	assert.Error(t, New(Config{Dir: file, Instance: 1}).Open())
}

// A disk that is full is told apart from one that fails.
func TestAFullDisk(t *testing.T) {
	s := newSpool(t, Config{})
	f, err := s.Create()
	require.NoError(t, err)
	require.NoError(t, f.f.Close())
	f.f, err = os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte("x"))
	assert.ErrorIs(t, err, ErrDisk)
	require.NoError(t, f.f.Close())
	_, err = f.Write([]byte("x"))
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.NotErrorIs(t, err, ErrDisk)
	f.Remove()
	assert.Zero(t, s.Used())
}
