package mtls

import "time"

// LookAgain has the next handshake look whether the files have changed.
func LookAgain(i *Identity) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.looked = time.Time{}
}

// Match is match.
func Match(allowed, name string, isURI bool) bool { return match(allowed, name, isURI) }
