package pipeline_test

import (
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oneJob is a slot that is given one job.
type oneJob struct{ job *loopback.Job }

func (o *oneJob) Next([]byte) (*loopback.Job, bool) {
	job := o.job
	o.job = nil
	return job, job != nil
}

func (*oneJob) Hold([]byte) {}
func (*oneJob) Sent(error)  {}
func (*oneJob) Leave()      {}

// collect is a loopback that keeps the answers. It refuses the first ones with
// the errors in refuse. It tells the fates in fates for the first ones that it
// takes, success for the rest.
type collect struct {
	mu     sync.Mutex // guards the fields below
	refuse []error
	got    []loopback.Answer
	fates  []error
}

func (c *collect) Answer(a loopback.Answer, sent transport.Notifier) error {
	c.mu.Lock()
	if len(c.refuse) > 0 {
		defer c.mu.Unlock()
		err := c.refuse[0]
		c.refuse = c.refuse[1:]
		return err
	}
	c.got = append(c.got, a)
	var fate error
	if len(c.fates) > 0 {
		fate, c.fates = c.fates[0], c.fates[1:]
	}
	c.mu.Unlock()
	if sent != nil {
		sent.Sent(fate)
	}
	return nil
}

func (c *collect) answers() []loopback.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}
