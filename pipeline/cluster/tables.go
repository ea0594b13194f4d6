package cluster

import (
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// tables are the tables of several fronts in this process: a loopback that
// gives each answer to the front that waits for it.
type tables []*loopback.Table

// Answer implements loopback.Answerer.
func (t tables) Answer(a loopback.Answer, sent transport.Notifier) error {
	for _, table := range t {
		if table.Instance() == a.Info.Instance {
			return table.Answer(a, sent)
		}
	}
	return t[0].Answer(a, sent) // which counts and drops it
}

// answerer returns the loopback to t: the table itself where there is one.
func (t tables) answerer() loopback.Answerer {
	if len(t) == 1 {
		return t[0]
	}
	return t
}
