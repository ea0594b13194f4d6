//go:build linux

package parts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// Reading is what a process is found to hold.
type Reading struct {
	Goroutines  int     `json:"goroutines,omitempty"`
	HeapMiB     float64 `json:"heap_mib,omitempty"` // in use, behind a collection
	Descriptors int     `json:"descriptors"`
	Threads     int     `json:"threads"`
	ResidentMiB float64 `json:"resident_mib"`
	PeakMiB     float64 `json:"peak_mib"` // resident at most, since the process began
}

// inside is what a process says of itself.
type inside struct {
	Goroutines int
	Heap       uint64
	Stacks     string
}

func probeSocket(dir string, pid int) string { return filepath.Join(dir, "p"+strconv.Itoa(pid)) }

// ServeProbe lets Read look into this process, by a socket in dir, until it
// ends. It is for programs that are a part.
func ServeProbe(dir string) error {
	l, err := net.Listen("unix", probeSocket(dir, os.Getpid()))
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = json.NewEncoder(c).Encode(look()) // who asked may have gone
			_ = c.Close()
		}
	}()
	return nil
}

// look collects twice: what pools hold survives once.
func look() *inside {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var stacks bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	return &inside{runtime.NumGoroutine(), m.HeapAlloc, stacks.String()}
}

// Read looks into the part's process; stacks are its goroutines by where they
// are. What only the process knows is missing without a probe in dir.
func (p *Part) Read(dir string) (r Reading, stacks string, err error) {
	pid := p.PID()
	if r, err = ReadOutside(pid); err != nil {
		return r, "", fmt.Errorf("read %s: %w", p.Name, err)
	}
	c, err := net.DialTimeout("unix", probeSocket(dir, pid), 5*time.Second)
	if err != nil {
		return r, "", fmt.Errorf("read %s: %w", p.Name, err)
	}
	defer func() { _ = c.Close() }() // it was only read
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var in inside
	if err := json.NewDecoder(c).Decode(&in); err != nil {
		return r, "", fmt.Errorf("read %s: %w", p.Name, err)
	}
	r.Goroutines, r.HeapMiB = in.Goroutines, float64(in.Heap)/(1<<20)
	return r, in.Stacks, nil
}

// ReadOutside reads what the system knows of a process.
func ReadOutside(pid int) (r Reading, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	entries, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return r, err
	}
	r.Descriptors = len(entries)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return r, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		n, _ := strconv.Atoi(fields[0])
		switch name {
		case "Threads":
			r.Threads = n
		case "VmRSS":
			r.ResidentMiB = float64(n) / 1024
		case "VmHWM":
			r.PeakMiB = float64(n) / 1024
		}
	}
	return r, nil
}
