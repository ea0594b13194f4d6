// Package metrics serves what a process measures, in Prometheus's format. It is
// the only one that knows the library for it: the other rooms count in plain
// fields, which are read when somebody asks, so that a request pays for nothing.
package metrics

import (
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/butterfly-zmq/butterfly/internal/stats"
)

// Set is what one process measures. It is safe for concurrent use.
type Set struct{ registry *prometheus.Registry }

// NewSet returns a Set with what is known of every process: the Go runtime, the
// system's accounts, and the version of the program.
func NewSet(version string) *Set {
	s := &Set{prometheus.NewRegistry()}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "butterfly_build_info", Help: "1, with the version of the program and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	}, func() float64 { return 1 })
	s.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build,
	)
	return s
}

// Labels tell the sources of a metric apart: their names are the same for all
// that measure it, and their values come from a small set.
type Labels map[string]string

// Kind is what a metric is.
type Kind int

// The kinds of metrics.
const (
	Gauge     Kind = iota // goes up and down
	Counter               // goes up only
	Histogram             // durations by buckets
)

// String returns the kind as Prometheus names it.
func (k Kind) String() string { return [...]string{"gauge", "counter", "histogram"}[k] }

// Metric is one metric of a reading T.
type Metric[T any] struct {
	// Name is as Prometheus wants names: with the unit, and _total of a counter.
	Name string
	// Help is a sentence about it.
	Help string
	Kind Kind
	// By are labels whose values Read gives, beside those of the source.
	By []string
	// Read passes on the value, or one for each combination of By's values, of
	// a Gauge or Counter.
	Read func(t *T, value func(v float64, by ...string))
	// Took does so for a Histogram.
	Took func(t *T, value func(d stats.Distribution, by ...string))
}

// One is a metric of a single value.
func One[T any](name string, kind Kind, help string, read func(t *T) float64) Metric[T] {
	return Metric[T]{Name: name, Help: help, Kind: kind, Read: func(t *T, value func(float64, ...string)) {
		value(read(t))
	}}
}

// Add has s serve metrics of a source, which is read once each time, for all of
// them. read must not block for long; it is called by several goroutines. It is
// an error if a source with the same labels is there.
func Add[T any](s *Set, labels Labels, all []Metric[T], read func() T) error {
	c := &source[T]{metrics: all, read: read}
	for _, m := range all {
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, m.By, prometheus.Labels(labels)))
	}
	if err := s.registry.Register(c); err != nil {
		return fmt.Errorf("metrics: source %v: %w", slices.Sorted(maps.Values(labels)), err)
	}
	return nil
}

// source is a prometheus.Collector.
type source[T any] struct {
	metrics []Metric[T]
	descs   []*prometheus.Desc // of metrics
	read    func() T
}

// Describe implements prometheus.Collector.
func (s *source[T]) Describe(to chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *source[T]) Collect(to chan<- prometheus.Metric) {
	t := s.read()
	for i := range s.metrics {
		m, desc := &s.metrics[i], s.descs[i]
		if m.Kind == Histogram {
			m.Took(&t, func(d stats.Distribution, by ...string) { to <- histogram(desc, d, by) })
			continue
		}
		kind := prometheus.GaugeValue
		if m.Kind == Counter {
			kind = prometheus.CounterValue
		}
		m.Read(&t, func(v float64, by ...string) { to <- prometheus.MustNewConstMetric(desc, kind, v, by...) })
	}
}

// histogram makes the buckets cumulative, and has them in seconds.
func histogram(desc *prometheus.Desc, d stats.Distribution, by []string) prometheus.Metric {
	bounds := stats.Bounds()
	cumulative := make(map[float64]uint64, len(bounds))
	var sum uint64
	for i, b := range bounds {
		sum += d.Counts[i]
		cumulative[b.Seconds()] = sum
	}
	return prometheus.MustNewConstHistogram(desc, d.Count(), d.Sum.Seconds(), cumulative, by...)
}
