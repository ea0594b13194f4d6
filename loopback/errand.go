package loopback

import (
	"errors"
	"sync/atomic"

	"github.com/butterfly-zmq/butterfly/internal/transport"
)

// errand is a job on its way to one of several proxies, and the Notifier of the
// message that carries it.
type errand struct {
	proxies *Proxies
	job     *Job
	sent    transport.Notifier // nil: a front's, whose table is told
	told    atomic.Bool        // sent has been told, be it that the job waits
	late    bool               // it has waited: of what kind the proxy is was not known before
}

// waiting returns the job.
func (e *errand) waiting() *Job { return e.job }

// isOpen reports whether somebody waits for the job.
func (e *errand) isOpen() bool {
	return e.sent != nil || e.proxies.table == nil || e.proxies.table.isOpen(&e.job.Info)
}

// Sent implements transport.Notifier. A job that has not left goes to another
// proxy.
func (e *errand) Sent(err error) {
	switch {
	case errors.Is(err, transport.ErrUnsent):
		if e.isOpen() {
			e.proxies.again(e)
		}
	case e.sent == nil:
		if e.proxies.table != nil {
			(&onItsWay{e.proxies.table, e.job.Info}).Sent(err)
		}
	case !e.told.Swap(true) || err != nil && !errors.Is(err, transport.ErrWaiting):
		e.sent.Sent(err)
	}
}
