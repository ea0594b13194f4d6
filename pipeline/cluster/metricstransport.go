package cluster

import (
	"github.com/butterfly-zmq/butterfly/internal/metrics"
	"github.com/butterfly-zmq/butterfly/internal/transport"
)

// socketReading is what the connections have of one kind of endpoint.
type socketReading struct {
	socket string
	transport.Stats
}

// sockets has m serve what the connections of a part have. A part is named like
// its role.
func (m *Metrics) sockets(part string, read func() []socketReading) error {
	return add(m, metrics.Labels{"part": part}, socketMetrics(), read)
}

func socketMetrics() []metrics.Metric[[]socketReading] {
	by := func(name string, kind metrics.Kind, help string, read func(s *socketReading) float64) metrics.Metric[[]socketReading] {
		return metrics.Metric[[]socketReading]{
			Name: "butterfly_transport_" + name, Kind: kind, Help: help, By: []string{"socket"},
			Read: func(all *[]socketReading, value func(float64, ...string)) {
				for i := range *all {
					s := &(*all)[i]
					value(read(s), s.socket)
				}
			},
		}
	}
	return []metrics.Metric[[]socketReading]{
		by("peers", metrics.Gauge, "Processes connected, by the endpoint over which they are.",
			func(s *socketReading) float64 { return float64(s.Peers) }),
		by("connections_total", metrics.Counter, "Connections made; where it grows, peers connect again.",
			func(s *socketReading) float64 { return float64(s.Connections) }),
		by("queued_messages", metrics.Gauge, "Messages that wait to be sent.",
			func(s *socketReading) float64 { return float64(s.Queued) }),
		by("queued_bytes", metrics.Gauge, "Bytes of messages that wait to be sent.",
			func(s *socketReading) float64 { return float64(s.QueuedBytes) }),
		by("dropped_messages_total", metrics.Counter, "Interrupts and credits that a subscriber did not get, since it did not read.",
			func(s *socketReading) float64 { return float64(s.Dropped) }),
	}
}
