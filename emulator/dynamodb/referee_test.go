package dynamodb_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/dynamodb"
)

var (
	seed       = flag.Uint64("seed", 1, "what TestReferee draws its operations from")
	operations = flag.Int("operations", 6000, "how many operations TestReferee draws at least")
)

// sessionLength is how many operations are drawn for one set of tables.
const sessionLength = 150

// TestReferee draws operations, right and wrong, sends each to the emulator and to dynalite,
// whose program DYNALITE names, and compares the answers, errors and their messages included.
// dynalite's own tests were passed by DynamoDB itself; it has no transactions and no streams.
// TestReferee ends with the first difference that is not in the table of meant ones, and with
// the shortest sequence of operations it finds that leads to it.
func TestReferee(t *testing.T) {
	program := os.Getenv("DYNALITE")
	if program == "" {
		t.Skip("compares with dynalite: make test-aws runs it")
	}
	r := &referee{
		t: t, theirs: &dynalite{t: t, program: program}, ours: side{open(t, dynamodb.Options{}).Client(), "http://dynamodb.local"},
		meant: map[string]int{}, answers: map[string]int{},
	}
	count := 0
	for i := uint64(0); count < *operations; i++ {
		done := newSession(*seed, i).draw()
		if at, x := r.play(done); x != nil {
			done, x = r.shrink(done[:at+1], x)
			t.Fatalf("seed %d, operation %d: the answers to the last of these operations differ\n%s\n%s", *seed, count+at+1, script(done), x)
		}
		count += len(done)
	}
	for _, answer := range slices.Sorted(maps.Keys(r.answers)) {
		t.Logf("%6d %s", r.answers[answer], answer)
	}
	meant := 0
	for _, d := range meantDifferences {
		meant += r.meant[d.why]
		t.Logf("%6d differ, as meant: %s", r.meant[d.why], d.why)
	}
	t.Logf("%6d ended dynalite or got no answer, and the tables were lost", r.theirs.ended)
	t.Logf("seed %d: %d operations, %d answers of either side compared; %d differ as meant, none else", *seed, count, r.pages, meant)
}

// referee compares two sides.
type referee struct {
	t       *testing.T
	theirs  *dynalite
	ours    side
	pages   int            // answers seen
	meant   map[string]int // differences by reason
	answers map[string]int // operations by kind and status
}

// silence is how long dynalite may take for an answer; it gives none to some operations.
const silence = 30 * time.Second

// dynalite is a process that ends when an operation breaks it, and is then started anew.
type dynalite struct {
	t       *testing.T
	program string
	side
	stop  context.CancelFunc // nil: it does not run
	ended int
}

// start starts dynalite unless it runs.
func (d *dynalite) start() {
	d.t.Helper()
	if d.stop != nil {
		return
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	address := port.Addr().(*net.TCPAddr)
	if err := port.Close(); err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(d.t.Context())
	process := exec.CommandContext(ctx, "node", d.program, "--host", "127.0.0.1", "--port", strconv.Itoa(address.Port), "--createTableMs", "0", "--deleteTableMs", "0")
	out, err := process.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.side, d.stop = side{&http.Client{Timeout: silence}, "http://" + address.String()}, func() {
		cancel()
		_ = process.Wait() // it was killed, or has ended itself
	}
	d.t.Cleanup(d.stop)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it says that it listens
		d.t.Fatalf("dynalite does not start: %v", err)
	}
}

// side is one DynamoDB.
type side struct {
	client *http.Client
	url    string
}

// answered is a side's answer to an operation: all pages of a Query or Scan.
type answered struct {
	Status int
	Pages  []object
}

// exchange is an operation and what both sides answered.
type exchange struct {
	operation
	theirs, ours answered
	sortKey      string // of the index that a Query reads
}

func (x exchange) String() string {
	return fmt.Sprintf("dynalite: %s\nemulator:       %s\n(-dynalite +emulator)\n%s", line(x.theirs), line(x.ours), cmp.Diff(x.theirs, x.ours))
}

func script(done []operation) string {
	var text strings.Builder
	for _, o := range done {
		fmt.Fprintf(&text, "%s %s\n", o.Op, line(o.Request))
	}
	return text.String()
}

func line(v any) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // what JSON was read from can be written
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// play carries out operations on both sides, up to the first that is answered differently.
// Then it deletes the tables.
func (r *referee) play(done []operation) (at int, differs *exchange) {
	r.theirs.start()
	defer r.deleteTables(done)
	for at, o := range done {
		x, alive := r.compare(o)
		if !alive {
			return at, nil
		}
		if x != nil {
			return at, x
		}
	}
	return 0, nil
}

func (r *referee) deleteTables(done []operation) {
	for _, o := range done {
		if o.Op == "CreateTable" {
			request := operation{"DeleteTable", object{"TableName": o.Request["TableName"]}}
			r.ours.carryOut(r.t, request)
			if r.theirs.stop != nil {
				r.theirs.carryOut(r.t, request)
			}
		}
	}
}

// compare carries out an operation on both sides and returns the exchange if the answers
// differ and are not meant to. It reports whether dynalite has survived.
func (r *referee) compare(o operation) (x *exchange, alive bool) {
	x = &exchange{operation: o, ours: r.ours.carryOut(r.t, o)}
	var err error
	if x.theirs, err = r.theirs.try(r.t, o); err != nil {
		r.theirs.stop()
		r.theirs.stop = nil
		r.theirs.ended++
		return nil, false
	}
	r.pages += len(x.theirs.Pages)
	r.answers[fmt.Sprintf("%s %d", o.Op, x.ours.Status)]++
	if onlyTakes(o) {
		r.align(o)
	}
	if cmp.Equal(x.theirs, x.ours) {
		return nil, true
	}
	if o.Op == "Query" && o.Request["IndexName"] != nil && x.answered() {
		x.sortKey = r.sortKey(o)
	}
	for _, d := range meantDifferences {
		if !d.meant(x) {
			continue
		}
		r.meant[d.why]++
		if !x.reads() && o.Op != "GetItem" { // what was written may differ
			r.align(o)
		}
		return nil, true
	}
	return x, true
}

// sortKey names the range key of the index that a Query reads; "" if it has none.
func (r *referee) sortKey(o operation) string {
	table := r.describe(o.Request["TableName"])
	for _, ix := range table["GlobalSecondaryIndexes"].([]any) {
		keys := ix.(object)["KeySchema"].([]any)
		if ix.(object)["IndexName"] == o.Request["IndexName"] && len(keys) == 2 {
			return keys[1].(object)["AttributeName"].(string)
		}
	}
	return ""
}

// describe returns the emulator's description of a table, or nil.
func (r *referee) describe(table any) object {
	description, _ := r.ours.carryOut(r.t, operation{"DescribeTable", object{"TableName": table}}).Pages[0]["Table"].(object)
	return description
}

// carryOut sends an operation, a Query or Scan to its last page.
func (s side) carryOut(t *testing.T, o operation) answered {
	t.Helper()
	a, err := s.try(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s side) try(t *testing.T, o operation) (a answered, err error) {
	t.Helper()
	request := maps.Clone(o.Request)
	for range 100 {
		status, page, err := ask(t, s.client, s.url, o.Op, []byte(line(request)))
		if err != nil {
			return a, err
		}
		a.Status, a.Pages = status, append(a.Pages, comparableForm(page).(object))
		if description, _ := page.(object)["TableDescription"].(object); description != nil {
			s.await(t, o.Op, description["TableName"])
		}
		last := page.(object)["LastEvaluatedKey"]
		if last == nil || status != http.StatusOK {
			break
		}
		request["ExclusiveStartKey"] = last
	}
	return a, nil
}

// await waits until a table that was just made is there, or one that was deleted is gone.
func (s side) await(t *testing.T, op string, table any) {
	for {
		status, page := send(t, s.client, s.url, "DescribeTable", []byte(line(object{"TableName": table})))
		description, _ := page.(object)["Table"].(object)
		if status != http.StatusOK || op == "CreateTable" && description["TableStatus"] == "ACTIVE" {
			return
		}
	}
}

// align makes the tables of an operation on dynalite hold what the emulator holds.
func (r *referee) align(o operation) {
	tables := map[any]bool{}
	for _, part := range parts(o.Request) {
		tables[part["TableName"]] = true
	}
	perTable, _ := o.Request["RequestItems"].(object)
	for name := range perTable {
		tables[name] = true
	}
	for name := range tables {
		table := r.describe(name)
		if table == nil {
			continue
		}
		wanted, held := r.ours.items(r.t, name), r.theirs.items(r.t, name)
		for text, it := range held {
			if wanted[text] == nil {
				r.theirs.carryOut(r.t, operation{"DeleteItem", object{"TableName": name, "Key": keyOf(table, it)}})
			}
		}
		for text, it := range wanted {
			if held[text] == nil {
				r.theirs.carryOut(r.t, operation{"PutItem", object{"TableName": name, "Item": it}})
			}
		}
	}
}

// items are a table's items by their text.
func (s side) items(t *testing.T, table any) map[string]object {
	all := map[string]object{}
	for _, page := range s.carryOut(t, operation{"Scan", object{"TableName": table}}).Pages {
		for _, it := range page["Items"].([]any) {
			all[line(it)] = it.(object)
		}
	}
	return all
}

// keyOf is the primary key of an item.
func keyOf(table, it object) object {
	key := object{}
	for _, element := range table["KeySchema"].([]any) {
		name := element.(object)["AttributeName"].(string)
		key[name] = it[name]
	}
	return key
}

// shrink looks for a shorter sequence of operations whose last is answered differently.
func (r *referee) shrink(done []operation, x *exchange) ([]operation, *exchange) {
	for size := len(done) / 2; size > 0; size /= 2 {
		for from := 0; from+size < len(done); {
			fewer := slices.Concat(done[:from], done[from+size:])
			if at, y := r.play(fewer); y != nil && at == len(fewer)-1 {
				done, x = fewer, y
			} else {
				from += size
			}
		}
	}
	return done, x
}
