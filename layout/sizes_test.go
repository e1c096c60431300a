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

// sizeOfARead is the most bytes that the binary of a read may have, a function whose
// route is a GET.
const sizeOfARead = 9_000_000

// limits are the most that functions of a kind may weigh, in bytes, and take to
// start, in hello worlds. The other kinds have none. A start within 2 is the goal,
// which createcall, setpolicy, replaydelivery and testwebhook miss by a tenth or two.
var limits = map[string]struct {
	size  int
	start float64
}{
	"read":  {sizeOfARead, 2.25},
	"write": {10_000_000, 2.5},
}

// A start takes longer while the machine does something else. So starts are
// compared by the medians of 25, each right after one of hello world, which meets
// the same machine. A function is too slow only if it is both by the clock and by
// the processor time that its process takes, which others' work hardly changes, and
// if two more comparisons, of 75 starts each, made one after the other, say so too.
const (
	starts     = 25
	moreStarts = 75
)

// TestSizes prints what each function weighs as it is deployed and how long it
// takes to start on this machine, from the start of its process to its first
// request for an event, beside a hello world made with the same tools. It is run
// by make sizes, which builds the binaries.
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
	fmt.Fprintf(table, "hello world\t\t\t\t%.1f ms\t1.00\t1.00\t\n", milliseconds(measured["calldetails"].hello.clock))
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

// kindsOf is what calls each function, and whether it carries LiveKit's client.
func kindsOf(tpl *template.Template) map[string]string {
	kinds := map[string]string{}
	for _, fn := range tpl.Functions() {
		kinds[fn.Folder] = "task"
	}
	for _, r := range tpl.Routes() {
		kinds[r.Function] = "write"
		if r.Method == "GET" {
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

// took is what a start takes, by the clock and of a processor.
type took struct{ clock, cpu time.Duration }

// start is what a function, and the hello world beside it, took to start: medians.
type start struct{ own, hello took }

func (s start) clock() float64 { return float64(s.own.clock) / float64(s.hello.clock) }

func (s start) cpu() float64 { return float64(s.own.cpu) / float64(s.hello.cpu) }

func (s start) over(limit float64) bool { return s.clock() > limit && s.cpu() > limit }

// measure starts one function after the other, again and again, and hello world
// right before each time. The first time is not counted: it reads the binary from
// the disk.
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

// secretsInside puts secrets in place of their names, so that no function asks
// Secrets Manager for one when it starts.
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

// median is the median of each.
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

// zipped is the size of the archive in which a binary is uploaded.
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
