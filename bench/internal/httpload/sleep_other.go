//go:build !linux

package httpload

import (
	"context"
	"time"
)

// sleepUntil returns at t or when ctx ends; it may be a millisecond late.
func sleepUntil(ctx context.Context, t time.Time) { pause(ctx, time.Until(t)) }
