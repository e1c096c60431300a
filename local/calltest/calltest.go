// Package calltest runs the tests of packages that make calls. It finds leaked goroutines, and it
// does not judge a failure while other processes keep this machine too busy.
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

// Main runs the tests of a package and exits with the code from Leaks.
func Main(m *testing.M, known ...goleak.Option) { os.Exit(Leaks(m.Run(), known...)) }

// Leaks returns the exit code of tests that ended with code: 1 if they passed and unknown
// goroutines are left. It gives the goroutines a minute to end, because some need that on a
// busy machine.
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

// keepsUp is the share of the processors that other processes may use meanwhile. LiveKit sends
// audio every 20 ms. It gives a SIP service one second to take a call and an agent a few seconds to
// take a job, and drops late ones. On a machine that does not keep up, calls therefore end
// differently, whatever the platform does.
const keepsUp = 0.25

// Judged runs tests of calls through LiveKit and returns their exit code. It does not judge a
// failure if other processes took too much of this machine meanwhile.
func Judged(m *testing.M) int {
	others := BusyElsewhere()
	code := m.Run()
	if share := others(); code != 0 && share > keepsUp {
		fmt.Printf("not judged: other processes took %.0f %% of the processors, and telephone calls need a machine that keeps up\n", 100*share)
		return 0
	}
	return code
}

// BusyElsewhere returns a function that reports the share of this machine's processors that other
// processes have used since. It is 0 on systems without /proc/stat. A child process counts as
// another process until it has ended.
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

// used is the processor time of this process and its ended children.
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
