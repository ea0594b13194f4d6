package cluster

import (
	"context"
	"log/slog"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/metrics"
)

// Metrics is what the parts of this process measure. A configuration that has
// one makes its part measured; nil is for parts that are not, and costs nothing.
// It is safe for concurrent use.
type Metrics struct{ set *metrics.Set }

// NewMetrics returns metrics for the parts of one process. version is the
// program's.
func NewMetrics(version string) *Metrics { return &Metrics{metrics.NewSet(version)} }

// served returns what counts a front's answers, if anything does.
func (m *Metrics) served() *httpfront.Served {
	if m == nil {
		return nil
	}
	return new(httpfront.Served)
}

// add has m serve what read returns. m may be nil.
func add[T any](m *Metrics, labels metrics.Labels, all []metrics.Metric[T], read func() T) error {
	if m == nil {
		return nil
	}
	return metrics.Add(m.set, labels, all, read)
}

// Serve returns p, with the metrics served by HTTP at address while it runs,
// until it has drained: an address that cannot be bound keeps p from being run.
// log gets where they are, and what goes wrong.
func (m *Metrics) Serve(address string, p Part, log *slog.Logger) (Part, error) {
	server, err := metrics.NewServer(address, m.set, log)
	if err != nil {
		return nil, err
	}
	return measured{p, server, log}, nil
}

// measured is a part with its metrics served beside it.
type measured struct {
	Part
	server *metrics.Server
	log    *slog.Logger
}

// Run implements Part.
func (m measured) Run(ctx context.Context) error {
	run := func(ctx context.Context) error {
		m.log.Info("metrics", "url", m.server.URL())
		return m.Part.Run(ctx)
	}
	return around(ctx, run, []<-chan struct{}{m.server.Ready()}, m.server.Run)
}
