//go:build linux

package e2e

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
)

// A worker program may stream for longer than its stage's timeout, which is for
// the first part; the supervisor takes it for one that hangs only where no part
// has come in time.
func TestAProgramMayStreamForLongerThanItsTimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ipc")
	library, err := filepath.Abs("../../examples/python")
	require.NoError(t, err)
	script := r.write("slow.py", `
import time

from butterfly import Job, main, stream, worker


@worker
def slow(job: Job):
    if job.request.path == "/never":
        time.sleep(60)

    def body():
        for i in range(4):
            yield str(i)
            time.sleep(1.2)

    return stream(body())


main()
`)
	p := r.run("up", "up", r.write("slow.yaml", fmt.Sprintf(`
version: 1
front: {listen: "127.0.0.1:0"}
routes: [{prefix: /, stage: slow}]
stages:
  slow: {command: [%s, -B, %s], env: {PYTHONPATH: %s}, timeout: 2s, attempts: 1}
`, zmqpeer.Python(t), script, library)))
	f := p.readies("front")
	_, body := stream(t, f.addr, "GET / HTTP/1.1\nHost: x\n\n")
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	assert.Equal(t, "0123", string(text))
	a, err := once(f.addr, "GET /never HTTP/1.1\nHost: x\n\n")
	require.NoError(t, err)
	assert.Equal(t, 504, a.status, a.body)
	p.says("signal: aborted")
}
