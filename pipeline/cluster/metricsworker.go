package cluster

import (
	"github.com/butterfly-zmq/butterfly/internal/metrics"
	"github.com/butterfly-zmq/butterfly/internal/stats"
	"github.com/butterfly-zmq/butterfly/pipeline"
)

// workerReading is what the workers of a stage measure.
type workerReading struct {
	pipeline.PoolStats
	took stats.Distribution
}

// handling is a pool of workers, or a process of them.
type handling interface {
	Stats() pipeline.PoolStats
	Took() stats.Distribution
}

// Workers has m serve what the workers of a stage measure, and their
// connections.
func (m *Metrics) Workers(stage string, w *pipeline.Worker) error {
	if err := m.handling(stage, w); err != nil {
		return err
	}
	return m.sockets("workers:"+stage, func() []socketReading {
		s := w.Sockets()
		return []socketReading{
			{"upstream", s.Upstream}, {"downstream", s.Downstream}, {"loopback", s.Loopback}, {"interrupt", s.Interrupt},
		}
	})
}

// handling has m serve what the workers of a stage measure.
func (m *Metrics) handling(stage string, w handling) error {
	return add(m, metrics.Labels{"stage": stage}, workerMetrics(), func() workerReading {
		return workerReading{w.Stats(), w.Took()}
	})
}

func workerMetrics() []metrics.Metric[workerReading] {
	gauge := func(name, help string, read func(r *workerReading) float64) metrics.Metric[workerReading] {
		return metrics.One("butterfly_worker_"+name, metrics.Gauge, help, read)
	}
	counter := func(name, help string, read func(r *workerReading) float64) metrics.Metric[workerReading] {
		return metrics.One("butterfly_worker_"+name, metrics.Counter, help, read)
	}
	return []metrics.Metric[workerReading]{
		gauge("slots", "Jobs that are done at a time at most.", func(r *workerReading) float64 { return float64(r.Slots) }),
		gauge("hung_handlers", "Handlers that run far beyond the stage's timeout.", func(r *workerReading) float64 { return float64(r.Hung) }),
		gauge("oldest_job_seconds", "For how long the longest of the running handlers has run.", func(r *workerReading) float64 { return r.Oldest.Seconds() }),
		counter("jobs_total", "Jobs that handlers have done with.", func(r *workerReading) float64 { return float64(r.Jobs) }),
		counter("jobs_failed_total", "Jobs that ended with an error or a panic while somebody waited for them.", func(r *workerReading) float64 { return float64(r.Failed) }),
		counter("jobs_overran_total", "Jobs that took longer than the stage's timeout.", func(r *workerReading) float64 { return float64(r.Overran) }),
		counter("busy_seconds_total", "Time spent in handlers that have returned, over all slots.", func(r *workerReading) float64 { return r.Busy.Seconds() }),
		{
			Name: "butterfly_worker_job_duration_seconds", Kind: metrics.Histogram, Help: "How long handlers took for their jobs.",
			Took: func(r *workerReading, value func(stats.Distribution, ...string)) { value(r.took) },
		},
	}
}

// programsReading is what is known of the worker programs of a stage.
type programsReading struct {
	kept, running int
	starts        uint64
}

// programs has m serve what is known of the worker programs of a stage.
func (m *Metrics) programs(stage string, p *Programs) error {
	return add(m, metrics.Labels{"stage": stage}, programMetrics(), p.reading)
}

func programMetrics() []metrics.Metric[programsReading] {
	one := metrics.One[programsReading]
	return []metrics.Metric[programsReading]{
		one("butterfly_programs", metrics.Gauge, "Processes of a worker program that there should be.",
			func(r *programsReading) float64 { return float64(r.kept) }),
		one("butterfly_programs_running", metrics.Gauge, "Processes of a worker program that there are.",
			func(r *programsReading) float64 { return float64(r.running) }),
		one("butterfly_program_starts_total", metrics.Counter, "How often a worker program was started, for the first time or again.",
			func(r *programsReading) float64 { return float64(r.starts) }),
	}
}
