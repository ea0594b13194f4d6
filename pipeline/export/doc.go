// Package export makes deployment files of a graph: systemd units for one
// machine, a kustomize set for Kubernetes, a file for docker compose. Every
// part of the graph (a front, the proxy of a stage, the workers of a stage)
// becomes a unit, a set of pods or a service of its own, that runs
//
//	PROGRAM run GRAPH --role ROLE
//
// [Systemd], [Kubernetes] and [Compose] read nothing and write nothing: they
// return files, the same ones for the same graph and [Config]. The graph's own
// file is among them, with the variables of this machine filled in. For
// containers its endpoints are replaced by names that hold in the network of
// the containers.
//
// What cannot be exported is a [graph.Invalid] with all problems at once.
package export
