package daemon

import (
	"log/slog"

	"github.com/spf13/pflag"

	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// metricsFlag is where a process serves its metrics.
type metricsFlag struct{ address string }

// noMetrics is the address of a process that serves none, whatever its graph says.
const noMetrics = "off"

func (f *metricsFlag) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.address, "metrics", "", "`address` where metrics are served at /metrics, host:port, or off")
}

// of returns g with the flag's address in place of its own, if there is one.
func (f *metricsFlag) of(g *graph.Graph) (*graph.Graph, error) {
	if f.address == "" {
		return g, nil
	}
	c := *g
	c.Metrics.Listen = ""
	if f.address != noMetrics {
		address, err := listenAddress(f.address)
		if err != nil {
			return nil, err
		}
		c.Metrics.Listen = address
	}
	return &c, nil
}

// open returns what measures the parts of this process.
func (f *metricsFlag) open(a *App) (measuring, error) {
	if f.address == "" || f.address == noMetrics {
		return measuring{}, nil
	}
	address, err := listenAddress(f.address)
	if err != nil {
		return measuring{}, err
	}
	return measuring{address, cluster.NewMetrics(a.version())}, nil
}

// measuring is what measures the parts of this process, and where that is served;
// the zero value measures nothing.
type measuring struct {
	address string
	metrics *cluster.Metrics
}

// around returns p with its metrics served while it runs.
func (m measuring) around(p cluster.Part, log *slog.Logger) (cluster.Part, error) {
	if m.metrics == nil {
		return p, nil
	}
	return m.metrics.Serve(m.address, p, log)
}
