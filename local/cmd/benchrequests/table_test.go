package main

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	t.Parallel()
	of := func(took, cpu time.Duration) *result {
		r := &result{requests: 100, took: took, cpu: cpu}
		for i := range 100 {
			r.waits = append(r.waits, time.Duration(i+1)*time.Millisecond)
		}
		return r
	}
	before := &side{name: "544f88d", results: map[string]*result{kinds[0].name: of(2*time.Second, time.Second), create.name: of(time.Second, 0)}}
	after := &side{name: "now", results: map[string]*result{kinds[0].name: of(time.Second, 750*time.Millisecond)}}
	const want = `                                                  544f88d                                    now             ratio
                      req/s       p50       p99   CPU/req    req/s       p50       p99   CPU/req    req/s      CPU
details, API key         50   51.0 ms  100.0 ms  10.00 ms      100   51.0 ms  100.0 ms   7.50 ms    2.00x    0.75x
`
	if diff := cmp.Diff(want, table(before, after)); diff != "" {
		t.Error(diff)
	}
}

// TestProcessorTime checks that the processor time of a computing process grows.
func TestProcessorTime(t *testing.T) {
	t.Parallel()
	first := processorTime(os.Getpid())
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here")
	}
	for sum := 0; processorTime(os.Getpid()) <= first; sum++ { // until it has grown
		continue
	}
	if processorTime(-1) != 0 {
		t.Error("a process that does not exist has used the processor")
	}
}
