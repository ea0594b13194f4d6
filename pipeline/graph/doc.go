// Package graph is the file that describes a service: fronts, routes, and
// stages with the edges between them. It loads and checks the file, matches
// requests to routes, and draws. It knows no sockets, starts nothing, and is
// the only package that knows that the file is YAML.
//
// [Load] reads files and reports everything that is wrong with them at once.
// What it returns is not changed by this package afterwards, and may be read
// concurrently.
package graph
