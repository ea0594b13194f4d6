// Command overload measures what a service does with ten times the load that it
// can bear: how much of the work is still done, what becomes of the rest, how much
// memory it takes, and whether it is itself again at once.
//
// Of each service it is found out first, by a closed loop, how much it does at
// most, and again at the end. Then an open loop with random gaps sends ten times as
// much, for a minute, with half of what it bears before and, at once, behind that.
// Then nothing may be left in any process. The services run in one process, and as
// processes over ipc:
//
//	wait    one stage whose handler sleeps: the processors are left to front,
//	        proxy and load, so that what refusing costs is seen
//	sliced  the primes graph with a cycle, whose handlers compute, one in each
//	        stage at a time, so that a core is left for the load
//	bodies  like wait, with requests of 64 KiB that wait until the front's
//	        max_pending is full: what overload costs in memory
//
//	go run ./bench/overload           # the figures
//	go run ./bench/overload --check   # fails if a target is missed, or nothing is known of the goodput
//
// Nothing is known of it where the load was not sent, other programs took more
// than 5 % of the processors, or the service bore another load at the end. Each
// process's memory is compared with the bound in docs/operations.md.
//
// It needs Linux.
package main
