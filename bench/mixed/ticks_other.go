//go:build !linux

package main

// spent cannot be told here.
func spent(...int) ticks { return ticks{} }
