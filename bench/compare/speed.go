package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// errMissed is a target not reached with --check.
var errMissed = errors.New("a target was missed")

// measureSpeed measures the contestants in rounds that take turns, and prints the
// table. All of them run all the time; those whose turn it is not are idle.
func (b *bench) measureSpeed(ctx context.Context, chosen []contestant, out io.Writer) error {
	deployed, err := b.deployAll(ctx, chosen)
	if err != nil {
		return err
	}
	defer stopAll(deployed)
	samples := make([][]*httpload.Report, len(deployed))
	for round := range b.rounds {
		for i, d := range deployed {
			report, err := b.load(ctx, d, "--duration", b.duration.String(), "--warmup", b.warmup.String())
			if err != nil {
				return err
			}
			fmt.Fprintf(b.progress, "round %d of %d: %s: %.0f requests/s\n", round+1, b.rounds, d.name, report.PerSecond)
			samples[i] = append(samples[i], report)
		}
	}
	results := judge(deployed, samples)
	if err := b.print(out, results); err != nil {
		return err
	}
	for _, r := range results {
		if b.check && r.Missed {
			return errMissed
		}
	}
	return nil
}

func (b *bench) print(out io.Writer, results []result) error {
	if !b.json {
		return table(out, results)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(results)
}

// deployAll starts all contestants, or none.
func (b *bench) deployAll(ctx context.Context, chosen []contestant) (deployed []*deployment, err error) {
	for i, c := range chosen {
		fmt.Fprintf(b.progress, "starting %s\n", c.name)
		d, err := b.deploy(ctx, i, c)
		if err != nil {
			stopAll(deployed)
			return nil, err
		}
		deployed = append(deployed, d)
	}
	return deployed, nil
}

func stopAll(deployed []*deployment) {
	for _, d := range deployed {
		d.stop()
	}
}

// load runs the load program against a contestant. One request that fails makes
// the measurement worthless: refusing is faster than working.
func (b *bench) load(ctx context.Context, d *deployment, bounds ...string) (*httpload.Report, error) {
	args := append([]string{
		"--json", "--connections", strconv.Itoa(b.connections), "--method", d.work.method,
		"--expect-body", d.work.answer,
	}, bounds...)
	if d.work.body != "" {
		args = append(args, "--body", d.work.body, "--header", "Content-Type: "+contentType)
	}
	cmd := exec.CommandContext(ctx, b.programs[loadProgram], append(args, d.base+d.work.path)...)
	cmd.SysProcAttr = diesWithParent()
	var problem strings.Builder
	cmd.Stderr = &problem
	output, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("load %s: %w", d.name, ctx.Err())
	}
	var report httpload.Report
	if len(output) == 0 || json.Unmarshal(output, &report) != nil {
		return nil, fmt.Errorf("load %s: %w: %s", d.name, err, problem.String())
	}
	if err := d.running(); err != nil {
		return nil, err
	}
	if report.Good() != report.Requests {
		return nil, fmt.Errorf("load %s: of %d requests %d were answered well: statuses %v, failures %v",
			d.name, report.Requests, report.Good(), report.Statuses, report.Failures)
	}
	return &report, nil
}
