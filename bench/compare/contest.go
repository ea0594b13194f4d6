package main

import (
	"fmt"
	"strconv"
	"strings"
)

// contestant is one way of doing a job, as the processes that do it.
type contestant struct {
	name string
	work work
	// bare names the contestant whose speed is the measure; "" for itself.
	bare   string
	target float64 // the least ratio to bare
	// ready is the path of the readiness check; "" asks for the work itself.
	ready string
	parts func(place) []part
}

// work is the request that a contestant is loaded with, and its right answer.
type work struct {
	method, path, body, answer string
}

// part is one process of a contestant.
type part struct {
	name    string
	program string
	args    []string
	stage   bool // one of several processes that share the machine
}

// place is where a contestant lives: made anew in every run.
type place struct {
	address string // host:port of its HTTP
	sockets string // directory of its ipc sockets, with a short path
	slots   int    // worker slots of a stage, 0 for the default
}

// The programs; names of files in the run's directory.
const (
	bareProgram = "bare"
	loadProgram = "load"
	serverd     = "prime-serverd"
)

const readyPath = "/readyz"

var (
	isPrime = work{method: "GET", path: "/is_prime?possible_prime=3", answer: "3"}
	echo    = work{method: "POST", path: "/", body: "hello", answer: "hello"}
)

// contest lists the contestants in the order of a round. The targets are the
// project's: what the pipeline may cost beside a handler that does all at once.
func contest() []contestant {
	return []contestant{
		{name: "bare primes", work: isPrime, parts: bare("primes")},
		{
			name: "one process", work: isPrime, bare: "bare primes", target: 0.60,
			ready: readyPath, parts: oneProcess,
		},
		{
			name: "two stages over ipc", work: isPrime, bare: "bare primes", target: 0.25,
			ready: readyPath, parts: twoStages,
		},
		{name: "bare echo", work: echo, parts: bare("echo")},
		{
			name: "one stage over ipc", work: echo, bare: "bare echo", target: 0.40,
			ready: readyPath, parts: oneStage,
		},
	}
}

func bare(mode string) func(place) []part {
	return func(p place) []part {
		return []part{{name: "bare", program: bareProgram, args: []string{"--listen", p.address, "--mode", mode}}}
	}
}

func oneProcess(p place) []part {
	args := []string{"--listen", p.address, "--ready", readyPath}
	if p.slots > 0 {
		args = append(args, "--workers", strconv.Itoa(p.slots))
	}
	return []part{{name: "serverd", program: serverd, args: args}}
}

func twoStages(p place) []part {
	return []part{
		p.front("parse"),
		p.proxy("parse"), p.proxy("compute"),
		p.worker("primes.parse", "parse", "--downstream-proxy", p.socket("compute.up")),
		p.worker("primes.compute", "compute"),
	}
}

func oneStage(p place) []part {
	return []part{p.front("echo"), p.proxy("echo"), p.worker("echo", "echo")}
}

// socket returns the endpoint of that name.
func (p place) socket(name string) string { return "ipc://" + p.sockets + "/" + name }

// toFront are the flags of everything that answers the front.
func (p place) toFront() []string {
	return []string{"--loopback", p.socket("loop"), "--interrupt", p.socket("intr")}
}

func (p place) front(stage string) part {
	args := []string{
		"front", "--listen", "tcp://" + p.address, "--ready", readyPath,
		"--proxy", p.socket(stage + ".up"),
	}
	return part{name: "front", program: serverd, args: append(args, p.toFront()...), stage: true}
}

func (p place) proxy(stage string) part {
	args := []string{"proxy", "--upstream", p.socket(stage + ".up"), "--downstream", p.socket(stage + ".down")}
	return part{name: "proxy " + stage, program: serverd, args: append(args, p.toFront()...), stage: true}
}

func (p place) worker(handler, stage string, more ...string) part {
	args := append([]string{"worker", handler, "--upstream-proxy", p.socket(stage + ".down")}, p.toFront()...)
	if p.slots > 0 {
		args = append(args, "--count", strconv.Itoa(p.slots))
	}
	return part{name: "worker " + stage, program: serverd, args: append(args, more...), stage: true}
}

// choose returns the contestants whose name contains text, in order, with the
// bare ones that they are compared with.
func choose(all []contestant, text string) (chosen []contestant, err error) {
	wanted := map[string]bool{}
	for _, c := range all {
		if strings.Contains(c.name, text) {
			wanted[c.name], wanted[c.bare] = true, true
		}
	}
	for _, c := range all {
		if wanted[c.name] {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no contestant's name contains %q", text)
	}
	return chosen, nil
}
