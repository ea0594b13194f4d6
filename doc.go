// Package butterfly holds no code: it is the root of a framework for HTTP
// services whose requests differ much in cost.
//
// A front takes HTTP requests and sends them, as jobs, through a graph of
// stages. Each stage is a pool of workers behind a proxy that hands a job only
// to a worker that said it is idle, and every stage can answer the waiting
// client directly. The whole runs in one process, or in many over ZeroMQ.
//
// Authors of stages start with package pipeline, and make a program of them
// with package pipeline/daemon. The other packages are for those who put the
// parts together themselves: httpfront, proxy, loopback, pipeline/cluster.
//
// What travels between processes is described in docs/protocol.md, how the
// packages fit together in docs/architecture.md.
package butterfly
