package e2e

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keepsUp is the part of the processors that others may take while this package runs. LiveKit
// sends audio every 20 ms and gives up what it is late with, so on a machine that does not keep up
// calls end otherwise than they should, whatever the platform does.
const keepsUp = 0.25

// busyElsewhere tells the part of this machine's processors that other processes have used since,
// where the system says so, which is 0 elsewhere. A child counts as another until it has ended.
func busyElsewhere() func() float64 {
	read := func() (all, busy, own float64) {
		text, err := os.ReadFile("/proc/stat")
		if err != nil {
			return 1, 0, 0
		}
		line, _, _ := strings.Cut(string(text), "\n")
		for i, field := range strings.Fields(line)[1:9] { // user nice system idle iowait irq softirq steal, in 1/100 s
			n, err := strconv.ParseFloat(field, 64)
			if err != nil {
				panic(err)
			}
			if all += n; i != 3 && i != 4 {
				busy += n
			}
		}
		return all, busy, 100 * used().Seconds()
	}
	all, busy, own := read()
	return func() float64 {
		now, work, ours := read()
		return ((work - busy) - (ours - own)) / max(now-all, 1)
	}
}

// used is the time of processors that this process and its ended children have used.
func used() (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			panic(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
