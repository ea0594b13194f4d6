package httpfront

import "time"

// deadline is one of a connection's two deadlines. Setting one costs as much
// as a small system call, and most are never reached: they move with every
// request. So each is set an eighth later than asked for, and left alone while
// it lies between: a keep-alive connection sets it once in a while.
type deadline struct{ at time.Duration }

// next returns when the deadline is to be set to, for a wait of timeout from
// now on, and whether it has to be set at all.
func (d *deadline) next(now, timeout time.Duration) (time.Duration, bool) {
	slack := timeout / 8
	if d.at >= now+timeout && d.at <= now+timeout+slack {
		return d.at, false
	}
	d.at = now + timeout + slack
	return d.at, true
}

// forget makes the next call of next set the deadline anew.
func (d *deadline) forget() { d.at = 0 }
