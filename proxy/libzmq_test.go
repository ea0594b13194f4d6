package proxy

import (
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
	"github.com/stretchr/testify/require"
)

// startWorkers runs workers that behave like prime_server's, over libzmq.
func startWorkers(t *testing.T, r *rig, loopback, storm string, count int) []*zmqpeer.Process {
	workers := make([]*zmqpeer.Process, count)
	for i := range workers {
		workers[i] = zmqpeer.Start(t, "testdata/worker.py", r.DownstreamEndpoint(), loopback, storm)
	}
	for _, w := range workers {
		w.Expect("ready")
	}
	r.eventually(func(s wire.Status) bool { return int(s.Slots) == count && s.Prime })
	return workers
}

// TestLibzmqFrontAndWorkers: front and workers are libzmq's, the proxy is ours.
// Every job is answered once, however many beats cross it, and the front's
// frame comes back; nothing is ever sent to the front.
func TestLibzmqFrontAndWorkers(t *testing.T) {
	const jobs = "500"
	for _, scheme := range []string{"ipc", "tcp"} {
		for _, storm := range []string{"0", "2"} {
			t.Run(scheme+" storm "+storm, func(t *testing.T) {
				r := newRig(t, scheme, nil)
				loopback := "tcp://127.0.0.1:*"
				if scheme == "ipc" {
					loopback = "ipc://" + shortDir(t) + "/loopback"
				}
				front := zmqpeer.Start(t, "testdata/front.py", r.UpstreamEndpoint(), loopback, jobs)
				startWorkers(t, r, front.Expect("ready"), storm, 2)
				front.Tell("go")
				front.Expect("answered")
				require.Equal(t, "0", front.Expect("heard"))
				require.Empty(t, r.answers)
			})
		}
	}
}

// TestLibzmqWorkerKilled: the job that it held is answered at once, the one
// that waited goes to the next worker.
func TestLibzmqWorkerKilled(t *testing.T) {
	r := newRig(t, "ipc", nil)
	front := r.front(5)
	loopback := "ipc://" + shortDir(t) + "/nobody"
	worker := startWorkers(t, r, loopback, "0", 1)[0]
	front.submit(butterflyInfo(1), "hold")
	front.submit(butterflyInfo(2), "hold")
	worker.Expect("holds")
	worker.Kill()
	r.expectAnswer(1, 502)
	next := startWorkers(t, r, loopback, "0", 1)[0]
	next.Expect("holds")
	require.Empty(t, r.answers)
}
