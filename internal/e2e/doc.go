// Package e2e holds the tests of whole deployments: prime-serverd's roles as
// real processes, among themselves and mixed with programs that behave as
// prime_server's front, proxy and worker do, over libzmq (see primepeer). It
// has no code of its own.
//
// The tests need Linux: they stop processes, and read their memory and
// descriptors from /proc. Without python3-zmq those that need it are skipped,
// unless BUTTERFLY_REQUIRE_PEERS=1.
package e2e
