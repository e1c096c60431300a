package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table compares the measurements of two sides.
func table(before, after *side) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%-18s %38s %38s %17s\n", "", before.name, after.name, "ratio")
	fmt.Fprintf(&out, "%-18s", "")
	for range 2 {
		fmt.Fprintf(&out, " %8s %9s %9s %9s", "req/s", "p50", "p99", "CPU/req")
	}
	fmt.Fprintf(&out, " %8s %8s\n", "req/s", "CPU")
	for _, k := range append(slices.Clone(kinds), create) {
		b, a := before.results[k.name], after.results[k.name]
		if b == nil || a == nil {
			continue
		}
		fmt.Fprintf(&out, "%-18s", k.name)
		for _, r := range []*result{b, a} {
			fmt.Fprintf(&out, " %8.0f %6.1f ms %6.1f ms %6.2f ms", r.rate(), milliseconds(r.quantile(0.5)), milliseconds(r.quantile(0.99)), r.cpuEach())
		}
		fmt.Fprintf(&out, " %7.2fx %7.2fx\n", a.rate()/b.rate(), a.cpuEach()/b.cpuEach())
	}
	b, a := peak(before), peak(after)
	if b > 0 && a > 0 {
		fmt.Fprintf(&out, "%-18s %35d MB %35d MB %7.2fx\n", "memory at the most", b, a, float64(a)/float64(b))
	}
	return out.String()
}

func (r *result) rate() float64 { return float64(r.requests) / r.took.Seconds() }

// cpuEach is the processor time of one request, in ms.
func (r *result) cpuEach() float64 { return milliseconds(r.cpu) / float64(r.requests) }

// quantile is the longest wait of the fastest share q of the requests.
func (r *result) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(r.waits))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// processorTime is the processor time of a process so far. It is 0 without /proc. proc(5) counts it
// in hundredths of a second.
func processorTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte(") ")) // the name before it may contain spaces
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// peak is the largest memory of the side's process so far, in MB. It is 0 without /proc.
func peak(s *side) int {
	if s.process == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.Atoi(fields[0])
	return kb / 1024
}
