// Package queueing knows how long those wait who take turns: how fast jobs leave a
// place that is never idle, and how many of them before a client's next one.
package queueing

// keptRounds bounds the memory that is kept when all clients have left.
const keptRounds = 1024

// Rounds counts, for each n, the clients of a class that have at least n jobs:
// as many jobs as leave in the class's n-th round from now. It is a Fenwick tree,
// so that to count a job and to sum up rounds takes as many steps as the number
// of rounds has digits.
type Rounds struct {
	tree  []int32 // from 1 on; its length without that is a power of two
	total int32
}

// Add counts by more clients, or fewer, that have at least n jobs.
func (r *Rounds) Add(n int, by int32) {
	if n < 1 {
		panic("queueing: who leaves was never counted")
	}
	for n >= len(r.tree) {
		r.grow()
	}
	for ; n < len(r.tree); n += n & -n {
		r.tree[n] += by
	}
	r.total += by
	if r.total == 0 && len(r.tree) > keptRounds {
		r.tree = nil // a peak's memory
	}
}

// grow doubles the tree. Of the new places only the last covers old ones: all.
func (r *Rounds) grow() {
	size := max(2*(len(r.tree)-1), 8)
	tree := make([]int32, size+1)
	copy(tree, r.tree)
	if len(r.tree) > 0 {
		tree[size] = r.total
	}
	r.tree = tree
}

// UpTo returns how many jobs leave in the first n rounds.
func (r *Rounds) UpTo(n int) int {
	if n >= len(r.tree) {
		return int(r.total)
	}
	sum := int32(0)
	for ; n > 0; n -= n & -n {
		sum += r.tree[n]
	}
	return int(sum)
}
