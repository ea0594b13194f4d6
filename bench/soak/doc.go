// Command soak runs a service through waves of load that an hour might bring, and
// wants every process back at what it held while idle after each: goroutines,
// descriptors, heap.
//
//	go run ./bench/soak                      # three rounds of all waves, ten seconds each
//	go run ./bench/soak --rounds 10 --json
//
// It needs Linux, and exits with 1 if a process keeps more than it may, or a
// request was not answered as it should have been.
package main
