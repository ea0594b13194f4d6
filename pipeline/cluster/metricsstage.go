package cluster

import (
	"strconv"

	"github.com/butterfly-zmq/butterfly/internal/metrics"
	"github.com/butterfly-zmq/butterfly/internal/stats"
	"github.com/butterfly-zmq/butterfly/proxy"
)

// stage has m serve what the queue of a stage measures. number is that of one of
// several proxies, else 0.
func (m *Metrics) stage(name string, number int, read func() proxy.Stats) error {
	labels := metrics.Labels{"stage": name, "proxy": ""}
	if number > 0 {
		labels["proxy"] = strconv.Itoa(number)
	}
	return add(m, labels, stageMetrics(), read)
}

func stageMetrics() []metrics.Metric[proxy.Stats] {
	gauge := func(name, help string, read func(s *proxy.Stats) float64) metrics.Metric[proxy.Stats] {
		return metrics.One("butterfly_stage_"+name, metrics.Gauge, help, read)
	}
	return append([]metrics.Metric[proxy.Stats]{
		gauge("queued", "Jobs that wait for a worker.", func(s *proxy.Stats) float64 { return float64(s.Queued) }),
		gauge("queued_bytes", "Bytes of jobs that wait for a worker.", func(s *proxy.Stats) float64 { return float64(s.QueuedBytes) }),
		gauge("parts", "Parts of scattered jobs that wait for others.", func(s *proxy.Stats) float64 { return float64(s.Parts) }),
		gauge("workers", "Connections of workers; slots where they are in the same process.", func(s *proxy.Stats) float64 { return float64(s.Workers) }),
		gauge("slots", "Places for jobs at the workers.", func(s *proxy.Stats) float64 { return float64(s.Slots) }),
		gauge("slots_idle", "Slots without a job.", func(s *proxy.Stats) float64 { return float64(s.Idle) }),
		gauge("slots_busy", "Slots with a job.", func(s *proxy.Stats) float64 { return float64(s.Busy) }),
		gauge("slots_stuck", "Slots that have not come back from a job within the stage's timeout.", func(s *proxy.Stats) float64 { return float64(s.Stuck) }),
		gauge("jobs_per_second", "Jobs done in the last second.", func(s *proxy.Stats) float64 { return float64(s.Rate) }),
		gauge("expected_wait_seconds", "For how long a job is expected to wait that comes now; 0 if nobody knows.", func(s *proxy.Stats) float64 { return s.Wait.Seconds() }),
		gauge("clock_offset_seconds", "By how much a front's clock is ahead of this machine's at least, or behind if negative: the one that differs most.", func(s *proxy.Stats) float64 { return s.Clock.Seconds() }),
		gauge("draining", "1 if the stage takes no jobs from fronts any more, else 0.", func(s *proxy.Stats) float64 { return truth(s.Draining) }),
	}, stageCounters()...)
}

func stageCounters() []metrics.Metric[proxy.Stats] {
	counter := func(name, help string, read func(s *proxy.Stats) float64) metrics.Metric[proxy.Stats] {
		return metrics.One("butterfly_stage_"+name, metrics.Counter, help, read)
	}
	return []metrics.Metric[proxy.Stats]{
		counter("jobs_total", "Jobs that entered the stage; each visit of a cycle counts.", func(s *proxy.Stats) float64 { return float64(s.Entered) }),
		counter("jobs_done_total", "Jobs that workers have done with.", func(s *proxy.Stats) float64 { return float64(s.Done) }),
		counter("jobs_repeated_total", "Jobs given to another worker after one was lost or took too long.", func(s *proxy.Stats) float64 { return float64(s.Repeated) }),
		{
			Name: "butterfly_stage_jobs_refused_total", Kind: metrics.Counter, By: []string{"reason"},
			Help: "Jobs that no worker gets, or gets again, by reason.",
			Read: func(s *proxy.Stats, value func(float64, ...string)) {
				for i, reason := range proxy.Reasons() {
					value(float64(s.Refused[i]), reason)
				}
			},
		},
		{
			Name: "butterfly_stage_queue_wait_seconds", Kind: metrics.Histogram,
			Help: "For how long jobs waited for their first worker; 0 of those that found one idle.",
			Took: func(s *proxy.Stats, value func(stats.Distribution, ...string)) { value(s.Waited) },
		},
	}
}
