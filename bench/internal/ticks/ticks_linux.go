package ticks

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Spent reads the time that the machine and some of its processes have spent.
// It is zero where that cannot be read.
func Spent(pids ...int) (t Ticks) {
	machine, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Ticks{}
	}
	line, _, _ := strings.Cut(string(machine), "\n")
	// user nice system idle iowait irq softirq steal: what follows is counted in these.
	for i, n := range numbers(strings.TrimPrefix(line, "cpu "), 8) {
		t.all += n
		if i != 3 && i != 4 {
			t.busy += n
		}
	}
	for _, pid := range pids {
		process, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return Ticks{}
		}
		// The name in parentheses may hold blanks; utime and stime are the 12th
		// and 13th field behind it.
		fields := numbers(string(process[strings.LastIndexByte(string(process), ')')+1:]), 13)
		t.ours += fields[11] + fields[12]
	}
	return t
}

// numbers reads the first fields of a line. What is missing or no number is 0.
func numbers(line string, most int) []uint64 {
	all := make([]uint64, most)
	for i, field := range strings.Fields(line) {
		if i < most {
			all[i], _ = strconv.ParseUint(field, 10, 64) // 0 if it is none
		}
	}
	return all
}
