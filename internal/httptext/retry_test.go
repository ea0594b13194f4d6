package httptext

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRetryAfterIsBoundedAndSpread(t *testing.T) {
	for _, tt := range []struct {
		wait        time.Duration
		least, most int
	}{
		{0, 1, 2}, {-time.Second, 1, 2}, {300 * time.Millisecond, 1, 2},
		{10 * time.Second, 10, 15}, {time.Hour, 40, 60},
	} {
		seen := map[int]bool{}
		sum := 0
		const n = 10_000
		for range n {
			s, err := strconv.Atoi(RetryAfter(tt.wait))
			require.NoError(t, err)
			require.GreaterOrEqual(t, s, tt.least)
			require.LessOrEqual(t, s, tt.most)
			seen[s] = true
			sum += s
		}
		require.Len(t, seen, tt.most-tt.least+1, "%v: all values come", tt.wait)
		require.InEpsilon(t, 1.25*max(min(tt.wait.Seconds(), 40), 1), float64(sum)/n, 0.03)
	}
}

func TestOnlyARefusalForNowSaysWhenToRetry(t *testing.T) {
	require.True(t, NewRefusal(503, "full", 0).Header.Has("Retry-After"))
	require.False(t, NewRefusal(504, "late", time.Minute).Header.Has("Retry-After"))
}
