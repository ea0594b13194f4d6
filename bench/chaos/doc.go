// Command chaos proves what is promised when processes die, hang and are cut
// off: it runs a service of many processes, loads it with requests whose answers
// can be checked, and does things to its parts by a script that a seed makes.
//
//	go run ./bench/chaos                         # a minute over ipc and over tcp
//	go run ./bench/chaos --time 5m --seed 7      # longer, and that script
//
// It needs Linux, and exits with 1 if a promise was broken.
package main
