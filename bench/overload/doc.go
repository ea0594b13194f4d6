// Command overload measures what a service does with ten times the load that it
// can bear: how much of the work is still done, what becomes of the rest, how much
// memory it takes, and whether it is itself again afterwards.
//
// Of each service it is found out first, by a closed loop, how much it does at
// most. Then an open loop with random gaps sends ten times as much, for a minute,
// with half of what it bears before and behind that for comparison. The services
// run in one process, and as processes over ipc:
//
//	wait    one stage whose handler sleeps: the processors are left to front,
//	        proxy and load, so that what refusing costs is seen
//	sliced  the primes graph with a cycle, whose handlers compute: refusing is at
//	        the cost of working
//
//	go run ./bench/overload           # the figures
//	go run ./bench/overload --check   # fails if a target is missed
//
// It needs Linux.
package main
