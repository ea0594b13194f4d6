package loopback

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestPresence reads like a log of connections: "up e 1" is a connection to the
// endpoint e at which the front 1 is, "down e" its end, and a number of seconds
// lets so much time pass.
func TestPresence(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"a front is away for less than the grace", "up a 1, up b 1, down a, down b, 4, up a 1, 100", ""},
		{"a front stays away", "up a 1, up b 1, down a, 100, down b, 4, 1", "1 gone"},
		{"and comes back", "up a 1, down a, 5, up a 1, down a, 5", "1 gone, 1 back, 1 gone"},
		{"another takes its place", "up a 1, up b 1, down a, down b, 1, up a 2, up b 2, 100", "1 replaced"},
		{"once the last connection is lost", "up a 1, up b 1, down a, up a 2, 10, down b", "1 replaced"},
		{"so does one that does not announce itself", "up a 1, down a, up a 0, down a, 100", "1 replaced"},
		{"which is not waited for", "up a 0, down a, 100", ""},
		{"who was replaced is not taken back", "up a 1, down a, up a 2, up b 1", "1 replaced"},
		{"who is replaced after the grace stays gone", "up a 1, down a, 5, up a 2", "1 gone"},
		{"two fronts go each for itself", "up a 1, up b 2, down a, 3, down b, 2, up b 2, 100", "1 gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := presence{grace: 5 * time.Second}
			now := time.Unix(1_700_000_000, 0)
			var got []string
			note := func(changes []change) {
				for _, x := range changes {
					got = append(got, fmt.Sprint(x.front, map[[2]bool]string{{true, true}: " replaced", {true, false}: " gone", {false, false}: " back"}[[2]bool{x.gone, x.replaced}]))
				}
			}
			for _, step := range strings.Split(c.script, ", ") {
				var verb, endpoint string
				var front uint64
				if n, _ := fmt.Sscan(step, &verb, &endpoint, &front); n == 0 {
					t.Fatal(step)
				}
				switch verb {
				case "up":
					note(p.up(endpoint, front, now))
				case "down":
					note(p.down(endpoint, now))
				default:
					var seconds int
					_, _ = fmt.Sscan(step, &seconds)
					end := now.Add(time.Duration(seconds) * time.Second)
					for next, any := p.next(); any && !next.After(end); next, any = p.next() {
						now = next
						note(p.due(now))
					}
					now = end
				}
			}
			assert.Equal(t, c.want, strings.Join(got, ", "))
		})
	}
}

func TestPresenceIsBounded(t *testing.T) {
	p := presence{grace: time.Second}
	now := time.Unix(1_700_000_000, 0)
	for front := range uint64(10 * maxFronts) {
		p.up("a", 1+front, now)
		p.down("a", now)
	}
	assert.LessOrEqual(t, len(p.fronts), maxFronts)
	p = presence{grace: -1}
	p.up("a", 1, now)
	p.down("a", now)
	_, any := p.next()
	assert.False(t, any, "fronts may be away for ever")
}
