package httpload

import (
	"context"
	"time"
)

// pause returns after d or when ctx ends; it may be a millisecond late.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
