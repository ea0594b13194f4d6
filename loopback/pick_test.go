package loopback

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/butterfly-zmq/butterfly/internal/wire"
)

// seen is a candidate that told a status.
func seen(idle, slots, queued uint32, sent int64) *candidate {
	return &candidate{up: true, sent: sent, state: RemoteState{
		Connected: true, Butterfly: true, Told: time.Unix(1, 0),
		Status: wire.Status{Idle: idle, Slots: slots, Queued: queued},
	}}
}

// Parts of scattered jobs are not to meet where some have not connected yet.
func TestAProxyThatHasJustComeIsNotChosenForParts(t *testing.T) {
	now := time.Unix(100, 0)
	came := func(ago time.Duration, c *candidate) *candidate {
		c.since = now.Add(-ago)
		return c
	}
	old, fresh := came(settled, seen(0, 1, 9, 0)), came(settled-1, seen(9, 9, 0, 0))
	leaving := drains(came(time.Hour, seen(9, 9, 0, 0)))
	assert.Equal(t, []*candidate{old}, known([]*candidate{fresh, old, leaving}, now))
	assert.Equal(t, []*candidate{fresh, leaving}, known([]*candidate{fresh, leaving}, now), "there is no other")
}

func drains(c *candidate) *candidate {
	c.state.Status.Draining = true
	return c
}

func away() *candidate { return &candidate{} }

func isTwin(c *candidate) *candidate {
	c.twin = true
	return c
}

func TestPick(t *testing.T) {
	for _, c := range []struct {
		name   string
		from   []*candidate
		late   bool
		random int64
		want   int
	}{
		{"nobody", nil, true, 0, -1},
		{"nobody is there", []*candidate{away(), away()}, true, 0, -1},
		{"the one that is there", []*candidate{away(), seen(0, 1, 9, 9)}, false, 0, 1},
		{"the one with idle slots", []*candidate{seen(0, 9, 0, 0), seen(1, 1, 0, 0)}, false, 0, 1},
		{"idle slots by chance, the first", []*candidate{seen(2, 4, 0, 0), seen(3, 4, 0, 0)}, false, 1, 0},
		{"idle slots by chance, the second", []*candidate{seen(2, 4, 0, 0), seen(3, 4, 0, 0)}, false, 2, 1},
		{"idle slots that we have filled count no more", []*candidate{seen(2, 4, 0, 2), seen(3, 4, 0, 2)}, false, 0, 1},
		{"the shortest queue for each slot", []*candidate{seen(0, 1, 5, 0), seen(0, 8, 20, 0)}, false, 0, 1},
		{"with what was sent since", []*candidate{seen(0, 4, 5, 9), seen(0, 4, 8, 0)}, false, 0, 1},
		{"one without slots is the last", []*candidate{seen(0, 0, 0, 0), seen(0, 1, 99, 0)}, false, 0, 1},
		{"one without slots rather than none", []*candidate{seen(0, 0, 0, 0), away()}, false, 0, 0},
		{"of two without slots the one that was sent less", []*candidate{seen(0, 0, 0, 2), seen(0, 0, 0, 1)}, false, 0, 1},
		{"one that has told nothing yet", []*candidate{{up: true, sent: 1}, {up: true}}, false, 0, 1},
		{"one that drains is left alone", []*candidate{drains(seen(9, 9, 0, 0)), seen(0, 1, 99, 0)}, true, 0, 1},
		{"a front waits rather than send to it", []*candidate{drains(seen(9, 9, 0, 0)), away()}, false, 0, -1},
		{"a stage does not wait", []*candidate{drains(seen(9, 9, 0, 0)), away()}, true, 0, 0},
		{"the same proxy by another name", []*candidate{seen(0, 1, 9, 0), isTwin(seen(9, 9, 0, 0))}, false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, pick(c.from, c.late, func(n int64) int64 { return min(c.random, n-1) }))
		})
	}
}

// Many jobs in a row, without a word from the proxies, are spread by what is
// known: nobody gets a herd.
func TestAHerdIsSpread(t *testing.T) {
	from := []*candidate{seen(4, 4, 0, 0), seen(8, 8, 0, 0)}
	for n := range 1200 {
		i := pick(from, false, func(k int64) int64 { return int64(n) % k })
		from[i].sent++
	}
	assert.InDelta(t, 400, from[0].sent, 2, "a third of the slots")
	assert.InDelta(t, 800, from[1].sent, 2)
}

func TestPartsOfAGroupMeet(t *testing.T) {
	known := func(endpoint string, instance uint64) *candidate {
		c := seen(1, 1, 0, 0)
		c.endpoint, c.state.Instance = endpoint, instance
		return c
	}
	a, b, c := known("tcp://a:1", 11), known("tcp://b:1", 22), known("tcp://c:1", 33)
	key := wire.Key{Instance: 5, ID: 7, Time: 9}
	now := time.Unix(1_700_000_000, 0)
	var unsure time.Time
	at := func(from []*candidate, p *wire.Piece) *candidate {
		i, until := meet(from, key, p, now)
		assert.Equal(t, unsure, until)
		require.GreaterOrEqual(t, i, 0)
		return from[i]
	}
	named := &wire.Piece{Meet: mark(22)}
	assert.Same(t, b, at([]*candidate{a, b, c}, named))
	assert.Same(t, b, at([]*candidate{c, b}, named), "wherever it stands in the list")
	drains(b)
	assert.Same(t, b, at([]*candidate{a, b, c}, named), "what it has begun a proxy ends")
	unnamed := &wire.Piece{}
	assert.NotSame(t, b, at([]*candidate{a, b, c}, unnamed), "but what is new goes elsewhere")
	b.state.Status.Draining = false

	first := at([]*candidate{a, b, c}, unnamed)
	assert.Same(t, first, at([]*candidate{c, a, b}, unnamed), "the order of the list does not matter")
	first.up, first.down = false, now.Add(-time.Millisecond)
	unsure = first.down.Add(time.Second)
	second := at([]*candidate{a, b, c}, unnamed)
	assert.NotSame(t, first, second, "there is another one while it is away")
	assert.Same(t, second, at([]*candidate{a, b, c}, &wire.Piece{Meet: mark(99)}), "as where the one that is named has gone")
	now, unsure = unsure, time.Time{}
	assert.Same(t, second, at([]*candidate{a, b, c}, &wire.Piece{Meet: mark(99)}), "nobody waits for one that stays away")
	a.up, b.up, c.up = false, false, false
	i, _ := meet([]*candidate{a, b, c}, key, unnamed, now)
	assert.Equal(t, -1, i)
}

// Groups are spread evenly, and where one of three proxies goes, the groups of
// the others stay.
func TestRendezvousIsEvenAndStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var from []*candidate
		for i := range 3 {
			c := seen(1, 1, 0, 0)
			c.endpoint = fmt.Sprintf("ipc:///run/%s/stage.up.%d", rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name"), i)
			from = append(from, c)
		}
		instance := rapid.Uint64().Draw(t, "instance")
		before := make([]int, 3000)
		count := make([]int, 3)
		for n := range before {
			before[n], _ = meet(from, wire.Key{Instance: instance, ID: uint32(n), Time: 1700000000}, &wire.Piece{Group: 1}, time.Time{})
			count[before[n]]++
		}
		for _, c := range count {
			require.InDelta(t, 1000, c, 200)
		}
		gone := rapid.IntRange(0, 2).Draw(t, "gone")
		from[gone].up = false
		for n, was := range before {
			if is, _ := meet(from, wire.Key{Instance: instance, ID: uint32(n), Time: 1700000000}, &wire.Piece{Group: 1}, time.Time{}); was != gone {
				require.Equal(t, was, is)
			}
		}
	})
}

func TestMarksAreNeverNothing(t *testing.T) {
	assert.Zero(t, mark(0), "prime_server's proxies have none")
	rapid.Check(t, func(t *rapid.T) {
		require.NotZero(t, mark(rapid.Uint64Min(1).Draw(t, "instance")))
	})
	assert.NotZero(t, mark(0x0001_0001_0000_0000|0x0001_0001), "what folds to nothing")
}
