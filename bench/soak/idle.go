//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
)

// What an idle process may hold more than before it had any work.
const (
	moreGoroutines  = 4
	moreDescriptors = 8    // libzmq has some for every peer that it has written to
	moreHeap        = 4.0  // MiB, behind two collections
	moreResident    = 16.0 // MiB, of worker programs: Go gives memory back late, and tells of its heap
)

// found is what one process was found to hold.
type found struct {
	Name    string        `json:"process"`
	Program bool          `json:"program"` // in another language: nobody asks it
	Reading parts.Reading `json:"holds"`
	stacks  string
}

// look reads all processes. Worker programs are named by their place among those
// of their keeper.
func (s *soak) look() ([]found, error) {
	var all []found
	for _, m := range s.rig.Members {
		r, stacks, err := m.Read(s.rig.Dir())
		if err != nil {
			return nil, err
		}
		all = append(all, found{m.Name, false, r, stacks})
		children := m.Children()
		for i, c := range children {
			r, err := parts.ReadOutside(c.PID)
			c.Release()
			if err != nil {
				return nil, fmt.Errorf("read program %d of %s: %w", i, m.Name, err)
			}
			all = append(all, found{fmt.Sprint(m.Name, ".", i), true, r, ""})
		}
	}
	return all, nil
}

// excess says what a process holds that it should not; "": nothing.
func (f *found) excess(idle parts.Reading) string {
	switch r := f.Reading; {
	case r.Goroutines > idle.Goroutines+moreGoroutines:
		return fmt.Sprintf("%s has %d goroutines, when idle %d", f.Name, r.Goroutines, idle.Goroutines)
	case r.Descriptors > idle.Descriptors+moreDescriptors:
		return fmt.Sprintf("%s has %d descriptors, when idle %d", f.Name, r.Descriptors, idle.Descriptors)
	case r.HeapMiB > idle.HeapMiB+moreHeap:
		return fmt.Sprintf("%s has %.1f MiB on its heap, when idle %.1f", f.Name, r.HeapMiB, idle.HeapMiB)
	case f.Program && r.ResidentMiB > idle.ResidentMiB+moreResident:
		return fmt.Sprintf("%s has %.1f MiB, when idle %.1f", f.Name, r.ResidentMiB, idle.ResidentMiB)
	}
	return ""
}

// settled waits until no process holds more than when idle and all are at rest,
// and returns what they hold; what one keeps for too long breaks a promise.
func (s *soak) settled(ctx context.Context, behind string) []found {
	end := time.Now().Add(s.o.settle)
	var last []found
	for {
		all, err := s.look()
		resting := slices.EqualFunc(all, last, alike)
		last = all
		var over *found
		why := ""
		if err != nil {
			why = err.Error()
		}
		for i := range all {
			if idle, known := s.idle[all[i].Name]; known && why == "" {
				if why = all[i].excess(idle); why != "" {
					over = &all[i]
				}
			}
		}
		if why == "" && len(all) == len(s.idle) && resting || ctx.Err() != nil {
			return all
		}
		if time.Now().After(end) {
			s.ledger.Break("leak: %v after %s: %s", s.o.settle, behind, orElse(why, "a process is missing, or comes and goes"))
			if over != nil {
				s.log("goroutines of %s\n%s", over.Name, over.stacks)
			}
			return all
		}
		sleep(ctx, 500*time.Millisecond)
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
