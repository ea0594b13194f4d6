package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// flat is how far memory may move over the run, either way.
const flat = 0.10

// footprint is the memory of one process over the run.
type footprint struct {
	Contestant string `json:"contestant"`
	Process    string `json:"process"`
	// Resident is the resident set after each step, in KiB.
	Resident []int64 `json:"resident_kib"`
	// Heap is the heap that the last collection of each step left, in MiB,
	// which is as exactly as the runtime tells it; 0 before the first one.
	Heap []int64 `json:"heap_mib"`
	// Growth is the median of the last third of Resident against that of the
	// first, less one: single readings depend on when the last collection was.
	Growth float64 `json:"growth"`
	// Control is a process of a bare contestant: shown beside the others, but
	// not this project's to keep flat.
	Control bool `json:"control,omitempty"`
	Missed  bool `json:"missed"`
}

// measureMemory sends a contestant its requests in steps, each over new connections,
// and reads the memory of its processes after every step. One step more comes
// first, in which pools and buffers grow to their size.
func (b *bench) measureMemory(ctx context.Context, chosen []contestant, out io.Writer) error {
	var all []footprint
	for i, c := range chosen {
		prints, err := b.remember(ctx, i, c)
		if err != nil {
			return err
		}
		all = append(all, prints...)
	}
	if err := b.printMemory(out, all); err != nil {
		return err
	}
	for _, f := range all {
		if b.check && f.Missed {
			return fmt.Errorf("%w: memory is not flat", errMissed)
		}
	}
	return nil
}

// remember runs one contestant through all steps.
func (b *bench) remember(ctx context.Context, i int, c contestant) ([]footprint, error) {
	d, err := b.deploy(ctx, i, c)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	prints := make([]footprint, len(d.processes))
	for step := range b.steps + 1 {
		fmt.Fprintf(b.progress, "%s: step %d of %d\n", c.name, step, b.steps)
		if _, err := b.load(ctx, d, "--requests", strconv.FormatInt(b.requests/int64(b.steps), 10)); err != nil {
			return nil, err
		}
		if step == 0 {
			continue
		}
		for j, p := range d.processes {
			if err := prints[j].read(p); err != nil {
				return nil, fmt.Errorf("memory of %s: %w", p.name, err)
			}
		}
	}
	for j := range prints {
		f := &prints[j]
		f.Contestant, f.Process, f.Control = c.name, d.processes[j].name, c.bare == ""
		f.judge()
	}
	return prints, nil
}

// read adds the present memory of p.
func (f *footprint) read(p *process) error {
	resident, err := residentKiB(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	heap, err := heapMiB(p.log)
	if err != nil {
		return err
	}
	f.Resident, f.Heap = append(f.Resident, resident), append(f.Heap, heap)
	return nil
}

// judge compares the ends of the run. The heap counts where it moved by more
// than its unit.
func (f *footprint) judge() {
	f.Growth = growth(f.Resident)
	third := len(f.Heap) / 3
	first, last := middle(f.Heap[:third]), middle(f.Heap[len(f.Heap)-third:])
	heapMoved := last-first > 1 && last-first > flat*first
	f.Missed = !f.Control && (f.Growth > flat || f.Growth < -flat || heapMoved)
}

func (f *footprint) verdict() string {
	if f.Control {
		return "-"
	}
	return verdict(!f.Missed)
}

func growth(values []int64) float64 {
	third := len(values) / 3
	return middle(values[len(values)-third:])/middle(values[:third]) - 1
}

func middle(values []int64) float64 {
	floats := make([]float64, len(values))
	for i, v := range values {
		floats[i] = float64(v)
	}
	return median(floats)
}

func (b *bench) printMemory(out io.Writer, all []footprint) error {
	if b.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(all)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%-*s\tfirst KiB\tlast KiB\tleast\tmost\tgrowth\theap first MiB\tlast\tverdict\t\n", nameWidth, "process")
	for _, f := range all {
		end := len(f.Resident) - 1
		fmt.Fprintf(w, "%-*s\t%d\t%d\t%d\t%d\t%+.1f %%\t%d\t%d\t%s\t\n", nameWidth, f.Process,
			f.Resident[0], f.Resident[end], slices.Min(f.Resident), slices.Max(f.Resident), 100*f.Growth,
			f.Heap[0], f.Heap[end], f.verdict())
	}
	return w.Flush()
}
