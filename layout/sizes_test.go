package layout

import (
	"archive/zip"
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/krosai/telephony/emulator/lambda"
	"github.com/krosai/telephony/emulator/template"
)

var sizes = flag.Bool("sizes", false, "measure the binaries that make sizes builds")

// sizeOfARead is the maximum size, in bytes, of the binary of a read. A read is a function whose
// route is a GET.
const sizeOfARead = 9_000_000

// sizeWithLiveKit is the maximum size of a function with LiveKit's client.
const sizeWithLiveKit = 24_000_000

// limits are the maximum size of the functions of a kind, in bytes, and their maximum start time,
// in hello worlds. The other kinds have no limits. The goal is a start within 2, or within 3.5 with
// LiveKit. setpolicy and replaydelivery miss theirs by a tenth or two.
var limits = map[string]struct {
	size  int
	start float64
}{
	"read":  {sizeOfARead, 2.25},
	"write": {10_000_000, 2.5},
	"page":  {7_000_000, 1.5},

	"write, LiveKit":    {sizeWithLiveKit, 3.75},
	"task, LiveKit":     {sizeWithLiveKit, 3.75},
	"schedule, LiveKit": {sizeWithLiveKit, 3.75},
}

// A start takes longer while the machine is busy. Therefore starts are compared by their medians of
// 25, and each follows a start of hello world on the same machine. A function is too slow only if
// it exceeds the limit both by the clock and by the processor time of its process, which other work
// hardly changes. Two more comparisons of 75 starts each, one after the other, must confirm it.
const (
	starts     = 25
	moreStarts = 75
)

// TestSizes prints the deployed size of each function and its start time on this machine, from the
// start of its process to its first request for an event, beside a hello world that is built with
// the same tools. make sizes builds the binaries and runs it.
func TestSizes(t *testing.T) {
	if !*sizes {
		t.Skip("run by make sizes")
	}
	tpl := readTemplate(t)
	functions := tpl.Functions()
	kinds := kindsOf(tpl)
	slices.SortFunc(functions, func(a, b template.Function) int {
		return strings.Compare(kinds[a.Folder]+" "+a.Folder, kinds[b.Folder]+" "+b.Folder)
	})
	hello := lambda.Config{Binary: "../bin/here/hello/bootstrap", ARN: "arn:aws:lambda:eu-west-1:000000000000:function:hello", MemoryMB: 256}

	measured := measure(t, hello, functions, starts)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "function\tkind\tbinary\tzip\tstart\thello worlds\tof CPU\t")
	var slow []template.Function
	for _, fn := range functions {
		kind, start := kinds[fn.Folder], measured[fn.Folder]
		binary, err := os.ReadFile("../bin/functions/" + fn.Folder + "/bootstrap")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%.1f ms\t%.2f\t%.2f\t\n", fn.Folder, kind, len(binary), zipped(t, binary),
			milliseconds(start.own.clock), start.clock(), start.cpu())
		limit, limited := limits[kind]
		if limited && len(binary) > limit.size {
			t.Errorf("%s has %d bytes, more than %d", fn.Folder, len(binary), limit.size)
		}
		if limited && start.over(limit.start) {
			slow = append(slow, fn)
		}
	}
	fmt.Fprintf(table, "hello world\t\t\t\t%.1f ms\t1.00\t1.00\t\n", milliseconds(measured["getcall"].hello.clock))
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		again := measure(t, hello, slow, moreStarts)
		slow = slices.DeleteFunc(slow, func(fn template.Function) bool {
			fmt.Printf("once more %s: %.2f hello worlds, %.2f of CPU\n", fn.Folder, again[fn.Folder].clock(), again[fn.Folder].cpu())
			return !again[fn.Folder].over(limits[kinds[fn.Folder]].start)
		})
	}
	for _, fn := range slow {
		t.Errorf("%s takes more than %g times as long to start as a hello world", fn.Folder, limits[kinds[fn.Folder]].start)
	}
}

// kindsOf returns the kind of each function: what calls it, and whether it links LiveKit's client.
func kindsOf(tpl *template.Template) map[string]string {
	kinds := map[string]string{}
	for _, fn := range tpl.Functions() {
		kinds[fn.Folder] = "task"
	}
	for _, r := range tpl.Routes() {
		kinds[r.Function] = "write"
		switch {
		case r.Function == pages:
			kinds[r.Function] = "page"
		case r.Method == "GET":
			kinds[r.Function] = "read"
		}
	}
	for _, s := range tpl.Schedules() {
		kinds[s.Function] = "schedule"
	}
	for _, fn := range tpl.Functions() {
		if fn.Environment["LIVEKIT_URL"] != "" {
			kinds[fn.Folder] += ", LiveKit"
		}
	}
	return kinds
}

// took is the duration of a start, by the clock and by processor time.
type took struct{ clock, cpu time.Duration }

// start is the median duration of the starts of a function, and of the hello worlds beside it.
type start struct{ own, hello took }

func (s start) clock() float64 { return float64(s.own.clock) / float64(s.hello.clock) }

func (s start) cpu() float64 { return float64(s.own.cpu) / float64(s.hello.cpu) }

func (s start) over(limit float64) bool { return s.clock() > limit && s.cpu() > limit }

// measure starts one function after the other, many times each, and hello world right before each
// start. It does not count the first start, which reads the binary from the disk.
func measure(t *testing.T, hello lambda.Config, functions []template.Function, times int) map[string]start {
	t.Helper()
	medians := map[string]start{}
	for _, fn := range functions {
		c := lambda.Config{Binary: "../bin/here/" + fn.Folder + "/bootstrap", ARN: fn.ARN, MemoryMB: fn.MemoryMB, Environment: secretsInside(fn.Environment)}
		var own, others []took
		for range times + 1 {
			others = append(others, startOnce(t, hello))
			own = append(own, startOnce(t, c))
		}
		medians[fn.Folder] = start{median(own[1:]), median(others[1:])}
	}
	return medians
}

// secretsInside replaces the names of secrets by values, so that no function asks Secrets Manager
// when it starts.
func secretsInside(environment map[string]string) map[string]string {
	values := maps.Clone(environment)
	for name, value := range values {
		if strings.HasPrefix(value, "arn:aws:secretsmanager:") {
			values[name] = "any long random text will do here"
		}
	}
	return values
}

func startOnce(t *testing.T, c lambda.Config) took {
	t.Helper()
	f, err := lambda.Start(context.Background(), c)
	if err != nil {
		t.Fatalf("%s: %v", c.Binary, err)
	}
	f.Stop()
	return took{f.Init, f.CPU()}
}

// median is the median of each duration.
func median(all []took) (m took) {
	var clock, cpu []time.Duration
	for _, one := range all {
		clock, cpu = append(clock, one.clock), append(cpu, one.cpu)
	}
	slices.Sort(clock)
	slices.Sort(cpu)
	return took{clock[len(clock)/2], cpu[len(cpu)/2]}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// zipped is the size of the archive that is uploaded for a binary.
func zipped(t *testing.T, binary []byte) int {
	t.Helper()
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	f, err := w.Create("bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(binary); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Len()
}
