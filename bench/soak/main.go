//go:build linux

package main

import "github.com/butterfly-zmq/butterfly/bench/internal/rig"

func main() { rig.Main("soak", parse, run) }
