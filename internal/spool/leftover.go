package spool

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// lockName is the file that a front holds locked while it runs.
func lockName(instance uint64) string { return fmt.Sprintf("%016x%s", instance, lockSuffix) }

const lockSuffix = ".front"

// machine names this machine in locks: those of others cannot be tried from here,
// where a directory is shared.
func machine() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// announce makes and takes the lock of a front. It gets its name once it is taken, so
// that nobody finds it free.
func announce(root *os.Root, instance uint64) (*os.File, error) {
	name := lockName(instance)
	f, err := root.OpenFile(name+".new", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err = tryLock(f); err == nil {
		_, err = f.WriteString(machine() + "\n")
	}
	if err == nil {
		err = root.Rename(name+".new", name)
	}
	if err != nil {
		_ = f.Close()
		_ = root.Remove(name + ".new")
		return nil, err
	}
	return f, nil
}

// sweep removes the files of fronts of this machine that do not run any more, and
// returns how many bodies these were. What it is not sure of it leaves.
func sweep(root *os.Root) (bodies int) {
	names, err := readNames(root)
	if err != nil || machine() == "" {
		return 0
	}
	for _, name := range names {
		instance, isLock := strings.CutSuffix(name, lockSuffix)
		if !isLock || len(instance) != 16 {
			continue
		}
		lock := died(root, name)
		if lock == nil {
			continue
		}
		for _, body := range names {
			if owner, _, ok := strings.Cut(body, "-"); ok && owner == instance && isName(body) && root.Remove(body) == nil {
				bodies++
			}
		}
		_ = root.Remove(name)
		_ = lock.Close()
	}
	return bodies
}

func readNames(root *os.Root) ([]string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// died returns the lock of a front of this machine that does not hold it any more,
// taken; nil: it may be alive.
func died(root *os.Root, name string) *os.File {
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	told, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil || strings.TrimSuffix(string(told), "\n") != machine() || tryLock(f) != nil {
		_ = f.Close()
		return nil
	}
	return f
}
