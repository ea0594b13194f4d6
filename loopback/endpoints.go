package loopback

import "strings"

// Endpoints returns the endpoints of a list in which commas separate them.
func Endpoints(list string) []string {
	var all []string
	for e := range strings.SplitSeq(list, ",") {
		all = append(all, strings.TrimSpace(e))
	}
	return all
}
