package transport

import (
	"bytes"
	"slices"
	"sync"
)

const (
	// maxSubscriptions and maxPrefix bound what a subscriber may make us keep.
	maxSubscriptions = 1024
	maxPrefix        = 1024

	subscribe   = 1
	unsubscribe = 0
)

// subscription is the message by which a Sub socket asks for a prefix.
func subscription(prefix []byte) []byte {
	return append([]byte{subscribe}, prefix...)
}

// subscriptions are the prefixes that a Pub socket's peer asked for.
type subscriptions struct {
	mu       sync.RWMutex // guards prefixes
	prefixes [][]byte
}

// update takes a message of the peer: a subscription, which is reported if it is
// new, or the end of one. Other messages are ignored, as libzmq's PUB does.
func (s *subscriptions) update(m Message) (added bool, err error) {
	if len(m) != 1 || len(m[0]) == 0 {
		return false, nil
	}
	kind, prefix := m[0][0], m[0][1:]
	if len(prefix) > maxPrefix {
		return false, &LimitError{"subscription bytes", uint64(len(prefix)), maxPrefix}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.prefixes, func(have []byte) bool { return bytes.Equal(have, prefix) })
	switch {
	case kind == subscribe && at < 0:
		if len(s.prefixes) == maxSubscriptions {
			return false, &LimitError{"subscriptions", maxSubscriptions + 1, maxSubscriptions}
		}
		s.prefixes = append(s.prefixes, prefix)
		return true, nil
	case kind == unsubscribe && at >= 0:
		s.prefixes = slices.Delete(s.prefixes, at, at+1)
	}
	return false, nil
}

// match reports whether the peer asked for messages that begin with frame.
func (s *subscriptions) match(frame []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.prefixes, func(prefix []byte) bool { return bytes.HasPrefix(frame, prefix) })
}

// has reports whether the peer asked for just this prefix.
func (s *subscriptions) has(prefix []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.prefixes, func(have []byte) bool { return bytes.Equal(have, prefix) })
}
