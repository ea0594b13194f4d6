//go:build linux

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

// A generator that lags has sent another load than it was to: no verdict follows.
func TestAnOverloadThatWasNotSentIsNoResult(t *testing.T) {
	require.NoError(t, lagged(&httpload.Report{Requests: 9900, Unsent: 100, Rate: 8000}))
	require.NoError(t, lagged(&httpload.Report{}))
	err := lagged(&httpload.Report{Requests: 9800, Unsent: 200, Rate: 8000})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "200 of 10000")
	assert.Contains(t, err.Error(), "8000 a second")
}
