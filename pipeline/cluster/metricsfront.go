package cluster

import (
	"cmp"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/metrics"
	"github.com/butterfly-zmq/butterfly/internal/stats"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// answers are what counts a front's answers, by the stage that requests go to;
// under "" those of the front itself.
type answers struct {
	stages []string
	served []*httpfront.Served
}

// of returns what counts the answers of a stage, the same each time. A's are not
// counted where m is nil.
func (a *answers) of(m *Metrics, stage string) *httpfront.Served {
	for i, s := range a.stages {
		if s == stage {
			return a.served[i]
		}
	}
	s := m.served()
	if s != nil {
		a.stages, a.served = append(a.stages, stage), append(a.served, s)
	}
	return s
}

// frontReading is what a front measures.
type frontReading struct {
	http     httpfront.Stats
	requests loopback.Stats
	pending  int
	bytes    int64
	answers  *answers
	proxies  []proxyUp
}

// proxyUp is to how many of a stage's proxies a front is connected.
type proxyUp struct {
	stage string
	up    int
}

// front has m serve what a front measures, whose stages' proxies are remote, or
// none are.
func (m *Metrics) front(name string, http *httpfront.Front, table *loopback.Table, a *answers, remote []*remoteStage) error {
	return add(m, metrics.Labels{"front": frontLabel(name)}, frontMetrics(), func() frontReading {
		r := frontReading{http: http.Stats(), requests: table.Stats(), answers: a}
		r.pending, r.bytes = table.Load()
		for _, s := range remote {
			p := proxyUp{stage: s.label()}
			for _, state := range s.States() {
				if state.Connected {
					p.up++
				}
			}
			r.proxies = append(r.proxies, p)
		}
		return r
	})
}

// frontLabel names a front; the only one of a pipeline may have no name.
func frontLabel(name string) string { return cmp.Or(name, "front") }

// label names the stage of a proxy: a front without a graph knows where it is
// only.
func (s *remoteStage) label() string { return cmp.Or(s.name, s.endpoints) }

func frontMetrics() []metrics.Metric[frontReading] {
	one := metrics.One[frontReading]
	all := []metrics.Metric[frontReading]{
		one("butterfly_front_ready", metrics.Gauge, "1 if the readiness check would say so, else 0.",
			func(r *frontReading) float64 { return truth(r.http.Ready) }),
		one("butterfly_front_pending", metrics.Gauge, "Requests that wait for their answer.",
			func(r *frontReading) float64 { return float64(r.pending) }),
		one("butterfly_front_pending_bytes", metrics.Gauge, "Bytes of requests that wait for their answer.",
			func(r *frontReading) float64 { return float64(r.bytes) }),
		one("butterfly_front_receiving_bytes", metrics.Gauge, "Room taken for bodies that are being received, but for the first 32 KiB of each.",
			func(r *frontReading) float64 { return float64(r.http.ReceivingBytes) }),
		one("butterfly_front_unsent_bytes", metrics.Gauge, "Bytes of answers over 64 KiB that clients have not taken yet.",
			func(r *frontReading) float64 { return float64(r.http.UnsentBytes) }),
		one("butterfly_front_cut_answers_total", metrics.Counter, "Answers cut since clients did not take them, for others' sake.",
			func(r *frontReading) float64 { return float64(r.http.Cut) }),
		one("butterfly_front_connections", metrics.Gauge, "Open connections of clients.",
			func(r *frontReading) float64 { return float64(r.http.Conns) }),
		one("butterfly_front_connections_total", metrics.Counter, "Connections of clients that were accepted.",
			func(r *frontReading) float64 { return float64(r.http.Accepted) }),
		one("butterfly_front_jobs_repeated_total", metrics.Counter, "Jobs submitted again after they got lost on their way, or with their proxy.",
			func(r *frontReading) float64 { return float64(r.requests.Retried) }),
		one("butterfly_front_late_answers_total", metrics.Counter, "Answers, and parts of them, for requests that had ended.",
			func(r *frontReading) float64 { return float64(r.requests.Late) }),
	}
	return append(all, servedMetrics()...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// servedMetrics are those with labels of their own.
func servedMetrics() []metrics.Metric[frontReading] {
	return []metrics.Metric[frontReading]{
		{
			Name: "butterfly_front_requests_total", Kind: metrics.Counter, By: []string{"stage", "code"},
			Help: "Requests answered, by the stage of their route, none for those that the front answers itself, and class of status.",
			Read: func(r *frontReading, value func(float64, ...string)) {
				r.answers.each(func(stage string, c httpfront.Class, s *httpfront.Served) {
					value(float64(s.Requests(c)), stage, c.String())
				})
			},
		},
		{
			Name: "butterfly_front_request_duration_seconds", Kind: metrics.Histogram, By: []string{"stage", "code"},
			Help: "From a request's head to its answer, or to the last part of that; of the classes that there were.",
			Took: func(r *frontReading, value func(stats.Distribution, ...string)) {
				r.answers.each(func(stage string, c httpfront.Class, s *httpfront.Served) {
					if took := s.Took(c); took.Count() > 0 {
						value(took, stage, c.String())
					}
				})
			},
		},
		{
			Name: "butterfly_front_ended_total", Kind: metrics.Counter, By: []string{"how"},
			Help: "Requests that were admitted and have ended: answered by a stage, expired, abandoned by their clients, or failed.",
			Read: func(r *frontReading, value func(float64, ...string)) {
				value(float64(r.requests.Answered), "answered")
				value(float64(r.requests.Expired), "expired")
				value(float64(r.requests.Abandoned), "abandoned")
				value(float64(r.requests.Failed), "failed")
			},
		},
		{
			Name: "butterfly_front_refused_total", Kind: metrics.Counter, By: []string{"reason"},
			Help: "Requests and connections refused, by the bound that they exceeded, since their stage did not take them, or since they could not be answered by their deadline.",
			Read: readRefused,
		},
		{
			Name: "butterfly_front_stage_up", Kind: metrics.Gauge, By: []string{"stage"},
			Help: "1 if the front is connected to a proxy of the stage, else 0; of stages in other processes.",
			Read: func(r *frontReading, value func(float64, ...string)) {
				for _, p := range r.proxies {
					value(truth(p.up > 0), p.stage)
				}
			},
		},
		{
			Name: "butterfly_front_proxies_up", Kind: metrics.Gauge, By: []string{"stage"},
			Help: "To how many proxies of the stage the front is connected; of stages in other processes.",
			Read: func(r *frontReading, value func(float64, ...string)) {
				for _, p := range r.proxies {
					value(float64(p.up), p.stage)
				}
			},
		},
	}
}

func readRefused(r *frontReading, value func(float64, ...string)) {
	value(float64(r.requests.Crowded), "max_pending")
	value(float64(r.requests.Heavy), "max_pending_bytes")
	value(float64(r.http.NoRoom), "bodies")
	value(float64(r.requests.Refused-r.requests.Crowded-r.requests.Heavy), "draining")
	value(float64(r.http.Unsubmitted), "stage")
	value(float64(r.http.TooLate), "deadline")
	value(float64(r.http.Crowded), "max_conns")
	value(float64(r.http.Greedy), "max_conns_per_client")
}

// each calls do for all classes of all stages.
func (a *answers) each(do func(stage string, c httpfront.Class, s *httpfront.Served)) {
	for i, stage := range a.stages {
		for _, c := range httpfront.Classes() {
			do(stage, c, a.served[i])
		}
	}
}

// sockets returns what the front's connections to stages have together.
func (f *Front) upstreams() (all transport.Stats) {
	for _, s := range f.stages {
		all = all.Plus(s.Sockets())
	}
	return all
}
