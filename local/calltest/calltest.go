// Package calltest runs the tests of packages that hold calls: what is left behind in the end, and
// whether this machine can be judged by.
package calltest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and exits as Leaks says.
func Main(m *testing.M, known ...goleak.Option) { os.Exit(Leaks(m.Run(), known...)) }

// Leaks is the code of tests that ended with code: 1 if they passed and goroutines are left that
// are not known. It gives them a minute to end, which is what some need on a busy machine.
func Leaks(code int, known ...goleak.Option) int {
	if code != 0 {
		return code
	}
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if err = goleak.Find(known...); err == nil {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// keepsUp is the part of the processors that others may take meanwhile. LiveKit sends audio every
// 20 ms, gives a SIP service a second to take a call and an agent a few to take a job, and gives up
// what is late. So on a machine that does not keep up calls end otherwise than they should,
// whatever the platform does.
const keepsUp = 0.25

// Judged runs tests of calls through LiveKit and returns their code. A failure while other
// processes took too much of this machine says nothing, and is not judged.
func Judged(m *testing.M) int {
	others := BusyElsewhere()
	code := m.Run()
	if share := others(); code != 0 && share > keepsUp {
		fmt.Printf("not judged: other processes took %.0f %% of the processors, and telephone calls need a machine that keeps up\n", 100*share)
		return 0
	}
	return code
}

// BusyElsewhere tells the part of this machine's processors that other processes have used since,
// where the system says so, which is 0 elsewhere. A child counts as another until it has ended.
func BusyElsewhere() func() float64 {
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
