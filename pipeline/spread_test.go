package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// at is a proxy whose slots are all ours.
func at(slots, idle, queued int) view {
	return view{usable: true, slots: slots, idle: idle, queued: queued, own: slots}
}

func draining(v view) view {
	v.draining = true
	return v
}

func owning(own int, v view) view {
	v.own = own
	return v
}

func TestWhereSlotsGo(t *testing.T) {
	const calm = calmBefore
	for _, c := range []struct {
		name string
		all  []view
		calm int
		luck float64 // a share below one is ours if luck is below it
		want move    // none if count is 0
	}{
		{name: "nothing to do", all: []view{at(4, 4, 0), at(4, 2, 0)}, calm: calm},
		{name: "jobs wait while slots are idle elsewhere", all: []view{at(4, 0, 2), at(4, 3, 0)}, want: move{from: 1, to: 0, count: 1}},
		{name: "many wait: half of the idle ones come", all: []view{at(4, 0, 99), at(4, 4, 0)}, want: move{from: 1, to: 0, count: 2}},
		{name: "the last idle slot comes, too", all: []view{at(1, 0, 9), at(1, 1, 0)}, want: move{from: 1, to: 0, count: 1}},
		{name: "slots that are idle where jobs wait have been given them by now", all: []view{at(4, 1, 9), at(4, 4, 0)}},
		{name: "jobs and no slot at all: one that is at work comes", all: []view{at(0, 0, 1), at(4, 0, 9)}, want: move{from: 1, to: 0, count: 1}},
		{name: "even the only one", all: []view{at(0, 0, 1), at(1, 0, 9)}, want: move{from: 1, to: 0, count: 1}},
		{name: "in proportion to what waits", all: []view{at(0, 0, 100), at(8, 0, 92)}, want: move{from: 1, to: 0, count: 2}},
		{name: "many more jobs for each slot", all: []view{at(2, 0, 100), at(8, 0, 12)}, want: move{from: 1, to: 0, count: 3}},
		{name: "a few more jobs for each slot are none of our business", all: []view{at(4, 0, 20), at(4, 0, 10)}},
		{name: "one that is left without a slot is left none", all: []view{at(4, 0, 99), at(1, 0, 1)}},
		{name: "one that has just come under load gets some", all: []view{at(0, 0, 0), at(8, 0, 99)}, want: move{from: 1, to: 0, count: 2}},
		{name: "but not one that has some", all: []view{at(2, 0, 0), at(8, 0, 9)}},
		{name: "evenly, after a while of calm", all: []view{at(0, 0, 0), at(8, 8, 0)}, calm: calm, want: move{from: 1, to: 0, count: 4}},
		{name: "and not before", all: []view{at(0, 0, 0), at(8, 8, 0)}, calm: calm - 1},
		{name: "as good as even", all: []view{at(15, 0, 0), at(17, 8, 0)}, calm: calm},
		{name: "one slot cannot be even", all: []view{at(1, 1, 0), at(0, 0, 0)}, calm: calm},
		{name: "two can", all: []view{at(2, 2, 0), at(0, 0, 0)}, calm: calm, want: move{from: 0, to: 1, count: 1}},
		{name: "one that drains is left", all: []view{draining(at(4, 4, 0)), at(4, 4, 0)}, want: move{from: 0, to: 1, count: 4}},
		{name: "but not before its queue is empty", all: []view{draining(at(4, 0, 3)), at(4, 0, 0)}},
		{name: "and gets slots for it", all: []view{draining(at(0, 0, 3)), at(4, 4, 0)}, want: move{from: 1, to: 0, count: 2}},
		{name: "if all drain slots stay", all: []view{draining(at(4, 4, 0)), draining(at(0, 0, 0))}},
		{name: "nothing is known of the other", all: []view{at(4, 4, 0), {slots: 0}}, calm: calm},
		{name: "by chance: it is us", all: []view{at(0, 0, 0), owning(1, at(8, 8, 0))}, calm: calm, luck: 0.49, want: move{from: 1, to: 0, count: 1}},
		{name: "by chance: it is others", all: []view{at(0, 0, 0), owning(1, at(8, 8, 0))}, calm: calm, luck: 0.5},
		{name: "our slots are not there", all: []view{at(0, 0, 9), owning(0, at(8, 8, 0))}},
		{name: "some of ours are on their way", all: []view{{usable: true, queued: 9, coming: 1}, at(8, 8, 0)}, want: move{from: 1, to: 0, count: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, any := plan(c.all, c.calm, func() float64 { return c.luck })
			m.pause, m.busy = 0, false
			assert.Equal(t, c.want, m)
			assert.Equal(t, c.want.count > 0, any)
		})
	}
}

// Whatever is told, slots go from one proxy to another that is there, and never
// more than we have; and where everything is even, nothing moves.
func TestPlansCanBeCarriedOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "proxies")
		all := make([]view, n)
		number := rapid.IntRange(0, 20)
		for i := range all {
			slots := number.Draw(t, "slots")
			all[i] = view{
				usable: rapid.Bool().Draw(t, "usable"), draining: rapid.Bool().Draw(t, "draining"),
				slots: slots, idle: rapid.IntRange(0, slots).Draw(t, "idle"), queued: number.Draw(t, "queued"),
				own: number.Draw(t, "own"), coming: number.Draw(t, "coming"),
			}
		}
		m, any := plan(all, rapid.IntRange(0, 100).Draw(t, "calm"), func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "luck") })
		if !any {
			m.pause = 0
			require.Zero(t, m)
			return
		}
		require.NotEqual(t, m.from, m.to)
		require.True(t, all[m.from].usable && all[m.to].usable)
		require.Positive(t, m.count)
		require.LessOrEqual(t, m.count, all[m.from].own)
		require.False(t, all[m.from].starving() && !all[m.from].draining && !all[m.to].starving() && 4*all[m.to].slots >= all[m.from].slots,
			"nobody who wants is robbed by one who has enough")
	})
}

// Processes of one slot each, all at one proxy, spread over two within some
// decisions, and then stay.
func TestManyProcessesComeToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(2, 60).Draw(t, "processes")
		slots := [2]int{total, 0}
		rounds := 0
		for moved := true; moved; rounds++ {
			moved = false
			told := slots
			for range told[0] {
				all := []view{{usable: true, slots: told[0], idle: told[0], own: 1}, {usable: true, slots: told[1], idle: told[1]}}
				if m, any := plan(all, calmBefore, func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "luck") }); any {
					require.Equal(t, move{from: 0, to: 1, count: 1, pause: pauseEven, busy: true}, m)
					slots[0]--
					slots[1]++
				}
			}
			d := told[0] - told[1]
			moved = d >= 2 && d > total/8 && rounds < 50
			if slots[1] > slots[0] {
				return // the other's turn to decide
			}
		}
		require.LessOrEqual(t, slots[0]-slots[1], max(2, total/8))
	})
}
