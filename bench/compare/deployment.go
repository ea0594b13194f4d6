package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// readyWithin bounds how long a contestant may take to become ready.
const readyWithin = 30 * time.Second

// deployment is a contestant whose processes run.
type deployment struct {
	contestant
	base      string // http://host:port
	processes []*process
	headers   []string // of the right answer
}

// deploy starts the contestant number i and waits until it gives the right
// answer. The caller stops it; on error nothing is left running.
func (b *bench) deploy(ctx context.Context, i int, c contestant) (*deployment, error) {
	sockets := filepath.Join(b.dir, strconv.Itoa(i))
	if err := os.Mkdir(sockets, 0o700); err != nil {
		return nil, fmt.Errorf("deploy %s: %w", c.name, err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, fmt.Errorf("deploy %s: %w", c.name, err)
	}
	d := &deployment{contestant: c, base: "http://" + address}
	for _, part := range c.parts(place{address: address, sockets: sockets, slots: b.slots}) {
		log := filepath.Join(sockets, strings.ReplaceAll(part.name, " ", "-")+".log")
		p, err := start(c.name+": "+part.name, log, b.command(part))
		if err != nil {
			d.stop()
			return nil, err
		}
		d.processes = append(d.processes, p)
	}
	if err := d.await(ctx); err != nil {
		d.stop()
		return nil, fmt.Errorf("%s did not become ready: %w", c.name, err)
	}
	return d, nil
}

func (b *bench) command(p part) *exec.Cmd {
	cmd := exec.Command(b.programs[p.program], p.args...)
	cmd.Env = os.Environ()
	if p.stage && b.stageProcs > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(b.stageProcs))
	}
	if b.memory {
		cmd.Env = append(cmd.Env, "GODEBUG=gctrace=1") // heap prints it (gctrace.go)
	}
	return cmd
}

// freeAddress returns a loopback address whose port was free a moment ago. Not
// every program prints the port that the kernel chose for it.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }() // nothing was accepted
	return listener.Addr().String(), nil
}

// stop ends all processes, all at once since each may drain.
func (d *deployment) stop() {
	var all sync.WaitGroup
	for _, p := range d.processes {
		all.Go(func() { p.stop(stopGrace) })
	}
	all.Wait()
}

// running returns an error if one of the processes has ended.
func (d *deployment) running() error {
	for _, p := range d.processes {
		if err := p.running(); err != nil {
			return err
		}
	}
	return nil
}

// await polls until the contestant says that it is ready, if it can, and gives
// the right answer. Its error says what was wrong last.
func (d *deployment) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := d.probe(ctx)
		if err == nil || died(err) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// probe asks once whether the contestant is ready and does its work.
func (d *deployment) probe(ctx context.Context) error {
	if err := d.running(); err != nil {
		return err
	}
	if d.ready != "" {
		if _, err := ask(ctx, d.base, work{method: "GET", path: d.ready}, false); err != nil {
			return err
		}
	}
	headers, err := ask(ctx, d.base, d.work, true)
	d.headers = headers
	return err
}
