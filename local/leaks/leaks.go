// Package leaks has the tests of a package fail when goroutines are left in the end.
package leaks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and exits as Check says.
func Main(m *testing.M, known ...goleak.Option) { os.Exit(Check(m.Run(), known...)) }

// Check is the code of tests that ended with code: 1 if they passed and goroutines are left that
// are not known. It gives them a minute to end, which is what some need on a busy machine.
func Check(code int, known ...goleak.Option) int {
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
