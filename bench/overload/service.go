//go:build linux

package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// service is what is measured: the kind of work, and what it runs in.
type service struct{ Work, Runs string }

func (s service) String() string { return s.Work + ", " + s.Runs }

// The kinds of work.
const (
	wait   = "wait"
	sliced = "sliced"
	bodies = "bodies"
)

// What a service runs in.
const (
	oneProcess = "one process"
	overIPC    = "over ipc"
)

var allServices = []service{
	{wait, oneProcess}, {wait, overIPC}, {sliced, oneProcess}, {sliced, overIPC}, {bodies, oneProcess}, {bodies, overIPC},
}

// everything is the name of a process that has all roles.
const everything = "service"

// roles returns what its processes are, the front first.
func (s service) roles() []string {
	switch {
	case s.Runs == oneProcess:
		return []string{everything}
	case s.Work == sliced:
		return []string{"front", "proxy:parse", "workers:parse", "proxy:slice", "workers:slice"}
	}
	return []string{"front", "proxy:work", "workers:work"}
}

// slots returns how many jobs a stage does at a time.
func (s service) slots(o *options) int {
	if s.Work == sliced {
		return o.computing
	}
	return o.slots
}

// timeout returns the front's deadline. Of bodies it is that of a front without
// one of its own: that not too many wait is up to the bounds.
func (s service) timeout(o *options) time.Duration {
	if s.Work == bodies {
		return 30 * time.Second
	}
	return o.timeout
}

// The bound of the front's connections, and what a request of the kind bodies has. 64 KiB are
// above what a body may take of the front without being counted.
const (
	maxConns  = 2048
	bodyBytes = 64 << 10
)

// maxPendingBytes is large enough for as many requests of the kind as may wait.
func (s service) maxPendingBytes(o *options) int {
	if s.Work == bodies {
		return o.pending * (bodyBytes + 4<<10)
	}
	return o.pending * 4 << 10
}

// admits returns what the graph says of admission: nothing, unless it is told.
func (o *options) admits() string {
	if o.admission == "" {
		return ""
	}
	return ", admission: " + o.admission
}

// graph returns its graph with the front at address. All connections come from
// one client.
func (s service) graph(o *options, address string) string {
	front := fmt.Sprintf("version: 1\nfront: {listen: %q, timeout: %v, max_conns: %[3]d, max_conns_per_client: %[3]d, "+
		"max_pending: %d, max_pending_bytes: %d}\n", address, s.timeout(o), maxConns, o.pending, s.maxPendingBytes(o))
	switch s.Work {
	case sliced:
		return front + fmt.Sprintf(`routes: [{prefix: /, stage: parse}]
stages:
  parse: {worker: primes.parse, count: %[1]d, next: [slice]%[2]s}
  slice: {worker: primes.slice, count: %[1]d, next: [slice], max_visits: 100000}
`, s.slots(o), o.admits())
	case bodies: // without a choice: the bounds have to do
		return front + fmt.Sprintf("routes: [{prefix: /, stage: work}]\nstages: {work: {worker: wait, count: %d, admission: queue}}\n", s.slots(o))
	}
	return front + fmt.Sprintf("routes: [{prefix: /, stage: work}]\nstages: {work: {worker: wait, count: %d%s}}\n",
		s.slots(o), o.admits())
}

// request returns what is asked for: of the sliced graph a number that takes about
// 20 ms of one core.
func (s service) request(url string) httpload.Config {
	switch s.Work {
	case sliced:
		return httpload.Config{URL: url + "/is_prime?possible_prime=100000000000097", Expect: []byte("100000000000097")}
	case bodies:
		return httpload.Config{URL: url + "/", Expect: []byte("done"), Method: "POST", Body: bytes.Repeat([]byte("b"), bodyBytes)}
	}
	return httpload.Config{URL: url + "/", Expect: []byte("done")}
}
