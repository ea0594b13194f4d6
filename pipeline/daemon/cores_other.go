//go:build !unix

package daemon

import "time"

// processorTime is not known here: every handler that looks long counts as such.
func processorTime() time.Duration { return 0 }
