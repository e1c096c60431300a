package store_test

import (
	"flag"
	"os"
	"testing"
)

// rounds is how often a test repeats its concurrent operations: three times with -short.
var rounds = allRounds

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		rounds = 3
	}
	os.Exit(m.Run())
}
