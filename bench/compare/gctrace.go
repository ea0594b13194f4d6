package main

import (
	"os"
	"regexp"
	"strconv"
)

// collection is a line that the Go runtime prints with GODEBUG=gctrace=1:
// 'gc 7 @2.3s 1%: … ms cpu, 4->5->2 MB, …'. The third size is what was left.
var collection = regexp.MustCompile(`(?m)^gc \d+ @.* \d+->\d+->(\d+) MB,`)

// heapMiB returns the heap that the last collection in a log left, in MiB, and 0
// before the first. It works with every Go program, without its help.
func heapMiB(log string) (int64, error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return 0, err
	}
	all := collection.FindAllSubmatch(text, -1)
	if len(all) == 0 {
		return 0, nil
	}
	return strconv.ParseInt(string(all[len(all)-1][1]), 10, 64)
}
