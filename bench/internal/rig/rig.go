//go:build linux

package rig

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/clients"
	"github.com/butterfly-zmq/butterfly/bench/internal/parts"
	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
	"github.com/butterfly-zmq/butterfly/internal/freeport"
	"github.com/butterfly-zmq/butterfly/internal/relay"
)

// Config says what runs.
type Config struct {
	// Scheme is ipc or tcp. Over tcp all connections between the parts go
	// through relays.
	Scheme string
	// Program is the command that a part is, before its arguments: one whose
	// main function calls PartMain.
	Program []string
	// Library is trial.Graph's; "": the stage Note is a Go worker.
	Library string
	// Timeout, Visit, Drain and StreamIdle are trial.Graph's.
	Timeout, Visit, Drain, StreamIdle time.Duration
	// MaxPending is trial.Graph's.
	MaxPending int
	// Plant is a mistake that the workers make.
	Plant trial.Plant
	// Died is told of parts that end by themselves.
	Died func(*parts.DiedError)
}

// Role says what a part is.
type Role string

// The roles.
const (
	RoleFront   Role = "front"
	RoleProxy   Role = "proxy"
	RoleWorkers Role = "workers"
)

// Member is a part of the service.
type Member struct {
	*parts.Part
	Role  Role
	Stage string // of a proxy or of workers
	Front *clients.Front
	// Programs: it keeps worker programs, which are its children.
	Programs bool
}

// Rig is a running service.
type Rig struct {
	cfg     Config
	dir     string
	Members []*Member
	Relays  map[string]*relay.Relay // by what they lie before; none over ipc
	Fronts  []*clients.Front
	Journal string
	ports   freeport.Ports
	relays  sync.WaitGroup
	cut     context.CancelFunc
}

// Dir is the folder with the graph, the journal and the parts' logs.
func (r *Rig) Dir() string { return r.dir }

// each is how many worker processes a stage has: one can die and leave another.
const each = 2

// New makes the folder and the graph file, and listens at the relays' addresses.
// It starts no part. Close takes all of it away.
func New(cfg Config) (*Rig, error) {
	dir, err := os.MkdirTemp("", "bfc") // paths of sockets are short by law
	if err != nil {
		return nil, err
	}
	ctx, cut := context.WithCancel(context.Background())
	r := &Rig{cfg: cfg, dir: dir, Journal: filepath.Join(dir, "journal"), Relays: make(map[string]*relay.Relay), cut: cut}
	file, err := r.prepare()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	for _, link := range r.Relays {
		r.relays.Go(func() { link.Run(ctx) })
	}
	r.members(file)
	return r, nil
}

// prepare writes the graph file.
func (r *Rig) prepare() (file string, err error) {
	g := &trial.Graph{
		Stages: make(map[string]trial.Stage), Script: filepath.Join(r.dir, "note.py"), Library: r.cfg.Library, Journal: r.Journal,
		Timeout: r.cfg.Timeout, Visit: r.cfg.Visit, Drain: r.cfg.Drain, StreamIdle: r.cfg.StreamIdle,
		MaxPending: r.cfg.MaxPending, Count: 8, Programs: 3,
	}
	w := &wires{scheme: r.cfg.Scheme, dir: r.dir, ports: &r.ports, relays: r.Relays}
	for _, name := range []string{"east", "west"} {
		f := trial.Front{Name: name, Listen: w.port(), Loopback: w.at(name + ".loop"), Interrupt: w.at(name + ".int")}
		g.Fronts = append(g.Fronts, f)
		r.Fronts = append(r.Fronts, &clients.Front{Name: name, Address: f.Listen, History: &clients.History{}})
	}
	for _, name := range trial.StageNames() {
		s := trial.Stage{Name: name}
		for n := range trial.Proxies(name) {
			s.Upstream = append(s.Upstream, w.at(numbered(name, ".", n)+".up"))
			s.Downstream = append(s.Downstream, w.at(numbered(name, ".", n)+".down"))
		}
		g.Stages[name] = s
	}
	if w.err != nil {
		return "", w.err
	}
	text, err := g.Text()
	if err != nil {
		return "", err
	}
	file = filepath.Join(r.dir, "graph.yaml")
	return file, errors.Join(os.WriteFile(file, []byte(text), 0o600), os.WriteFile(g.Script, []byte(trial.Script), 0o600))
}

// numbered returns the name of one of a stage's proxies, from 1 where there are
// several.
func numbered(stage, mark string, n int) string {
	if trial.Proxies(stage) == 1 {
		return stage
	}
	return fmt.Sprint(stage, mark, n+1)
}

// wires makes endpoints.
type wires struct {
	scheme, dir string
	ports       *freeport.Ports
	relays      map[string]*relay.Relay
	err         error // the first
}

func (w *wires) port() string {
	address, err := w.ports.Address()
	w.err = cmp.Or(w.err, err)
	return address
}

// at returns the endpoints of a name; over tcp there is a relay in between.
func (w *wires) at(name string) trial.At {
	if w.scheme == "ipc" {
		e := "ipc://" + filepath.Join(w.dir, name)
		return trial.At{Bind: e, Connect: e}
	}
	bind, connect := w.port(), w.port()
	if w.err != nil {
		return trial.At{}
	}
	link, err := relay.New(connect, bind)
	if err != nil {
		w.err = err
		return trial.At{}
	}
	w.relays[name] = link
	return trial.At{Bind: "tcp://" + bind, Connect: "tcp://" + connect}
}

// members makes all parts, in the order in which they are stopped.
func (r *Rig) members(file string) {
	add := func(m *Member, name, role string) {
		m.Part = &parts.Part{
			Name:    name,
			Command: append(append([]string(nil), r.cfg.Program...), r.dir, "run", file, "--role", role),
			Env:     []string{plantVariable + "=" + string(r.cfg.Plant)},
			Log:     filepath.Join(r.dir, name+".log"),
			Died:    r.cfg.Died,
		}
		r.Members = append(r.Members, m)
	}
	for _, f := range r.Fronts {
		add(&Member{Role: RoleFront, Front: f}, "front-"+f.Name, "front:"+f.Name)
	}
	for _, stage := range trial.StageNames() {
		for n := range trial.Proxies(stage) {
			add(&Member{Role: RoleProxy, Stage: stage}, "proxy-"+numbered(stage, "-", n), "proxy:"+numbered(stage, "/", n))
		}
		for n := range each {
			programs := stage == trial.Note && r.cfg.Library != ""
			add(&Member{Role: RoleWorkers, Stage: stage, Programs: programs}, fmt.Sprint("workers-", stage, "-", n), "workers:"+stage)
		}
	}
}

// Start starts all parts.
func (r *Rig) Start() error {
	for _, m := range r.Members {
		if err := m.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Await waits until all fronts say that they are ready, for limit at most.
func (r *Rig) Await(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, f := range r.Fronts {
		for why := ready(ctx, f); why != nil; why = ready(ctx, f) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("front %s is not ready after %v: %w", f.Name, limit, why)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// ready returns why a front is not.
func ready(ctx context.Context, f *clients.Front) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.Address+"/readyz", nil)
	if err != nil {
		return err
	}
	request.Close = true
	response, err := (&http.Client{Timeout: time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // without it the status has to do
		return fmt.Errorf("%w: %s: %s", errNotReady, response.Status, bytes.TrimSpace(why))
	}
	return nil
}

var errNotReady = errors.New("not ready")

// Stop asks all parts to end, in order, and waits for each. It returns the errors
// of those that did not end well.
func (r *Rig) Stop(limit time.Duration) error {
	var errs []error
	rank := func(pick func(*Member) bool) {
		var stopping sync.WaitGroup
		var mu sync.Mutex // guards errs
		for _, m := range r.Members {
			if pick(m) {
				stopping.Go(func() {
					err := m.Terminate(limit)
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				})
			}
		}
		stopping.Wait()
	}
	rank(func(m *Member) bool { return m.Role == RoleFront })
	for _, stage := range trial.StageNames() {
		rank(func(m *Member) bool { return m.Role == RoleProxy && m.Stage == stage })
		rank(func(m *Member) bool { return m.Role == RoleWorkers && m.Stage == stage })
	}
	return errors.Join(errs...)
}

// LeftBehind returns the command lines of processes that the service has left,
// worker programs of a killed keeper for example. Those that are about to end
// have limit for that.
func (r *Rig) LeftBehind(limit time.Duration) (left []string) {
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if left = parts.Running(r.dir); len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// Close kills what is left, and takes the folder away.
func (r *Rig) Close() error {
	r.Kill()
	return os.RemoveAll(r.dir)
}

// Kill kills what is left, cuts the network and gives the ports back. The folder stays.
func (r *Rig) Kill() {
	for _, m := range r.Members {
		m.Kill()
	}
	r.cut()
	r.relays.Wait()
	_ = r.ports.Close()
}
