package store_test

import (
	"flag"
	"os"
	"testing"
)

// rounds is how often what happens at the same time is tried anew: three times with -short.
var rounds = allRounds

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		rounds = 3
	}
	os.Exit(m.Run())
}
