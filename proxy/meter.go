package proxy

import "time"

// meter turns a counter into a rate per second.
type meter struct {
	since time.Time
	count uint64
	last  uint32
}

// rate returns how much the counter grew per second over the last whole second
// or more that the meter was looked at.
func (m *meter) rate(now time.Time, count uint64) uint32 {
	passed := now.Sub(m.since)
	switch {
	case m.since.IsZero():
		m.since, m.count = now, count
	case passed >= time.Second:
		m.last = uint32(float64(count-m.count) / passed.Seconds())
		m.since, m.count = now, count
	}
	return m.last
}
