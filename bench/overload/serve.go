//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
	"github.com/butterfly-zmq/butterfly/examples/primes"
	"github.com/butterfly-zmq/butterfly/internal/freeport"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

// partWord is the first argument of a process that is a part of a service.
const partWord = "overload-part"

// partMain does not return if this process is a part of a service: the daemon
// that any user of pipeline/daemon has.
func partMain() {
	if len(os.Args) < 3 || os.Args[1] != partWord {
		return
	}
	cost, err := time.ParseDuration(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	workers := primes.Workers()
	workers["wait"] = pipeline.HandlerFunc(func(ctx context.Context, _ *pipeline.Job) (pipeline.Result, error) {
		timer := time.NewTimer(cost)
		defer timer.Stop()
		select {
		case <-timer.C:
			return pipeline.Text(200, "done"), nil
		case <-ctx.Done():
			return pipeline.Result{}, context.Cause(ctx)
		}
	})
	os.Args = append(os.Args[:1], os.Args[3:]...)
	(&daemon.App{Name: "overload", Workers: workers}).Main()
}

// deployment is a service that runs.
type deployment struct {
	dir     string
	url     string
	parts   []*parts.Part
	metrics []string // the addresses of theirs
	ports   freeport.Ports
}

// deploy starts a service and returns when it is ready.
func deploy(ctx context.Context, o *options, s service) (d *deployment, err error) {
	d = &deployment{}
	if d.dir, err = os.MkdirTemp("", "bfo"); err != nil { // paths of sockets are short by law
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.stop())
		}
	}()
	address, err := d.ports.Address()
	if err != nil {
		return nil, err
	}
	d.url = "http://" + address
	file := filepath.Join(d.dir, "graph.yaml")
	if err := os.WriteFile(file, []byte(s.graph(o, address)), 0o600); err != nil {
		return nil, err
	}
	if err := d.start(o, s, file); err != nil {
		return nil, err
	}
	return d, d.await(ctx)
}

// start starts the service's processes.
func (d *deployment) start(o *options, s service, file string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	for _, role := range s.roles() {
		address, err := d.ports.Address()
		if err != nil {
			return err
		}
		d.metrics = append(d.metrics, address)
		command := []string{self, partWord, o.cost.String(), "run", file, "--metrics", address}
		if role != everything {
			command = append(command, "--role", role, "--run-dir", d.dir)
		}
		p := &parts.Part{Name: role, Command: command, Log: filepath.Join(d.dir, strings.ReplaceAll(role, ":", ".")+".log")}
		if err := p.Start(); err != nil {
			return err
		}
		d.parts = append(d.parts, p)
	}
	return nil
}

// await waits until the service is ready.
func (d *deployment) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if err := d.running(); err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := outside.Do(req); err == nil {
			_ = resp.Body.Close() // it was not read
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("it does not get ready: %w", context.Cause(ctx))
		}
	}
}

// running says which part has ended, if one has.
func (d *deployment) running() error {
	for _, p := range d.parts {
		if !p.Running() {
			return fmt.Errorf("%s ended: %s", p.Name, p.Tail(2000))
		}
	}
	return nil
}

// stop ends the service, the front first, and takes its folder away.
func (d *deployment) stop() error {
	var errs []error
	for _, p := range d.parts {
		errs = append(errs, p.Terminate(20*time.Second))
	}
	return errors.Join(append(errs, d.ports.Close(), os.RemoveAll(d.dir))...)
}
