package dynamodb_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/dynamodb"
)

var (
	seed       = flag.Uint64("seed", 1, "what TestReferee draws its operations from")
	operations = flag.Int("operations", 15000, "how many operations TestReferee draws at least")
)

// sessionLength is how many operations are drawn for one set of tables.
const sessionLength = 150

// TestReferee draws operations, right and wrong, sends each to the emulator and to Amazon's
// DynamoDB Local, whose address is DYNAMODB_LOCAL, and compares the answers, errors and
// their messages included. It ends with the first difference that is not in the table of
// meant ones, and with the shortest sequence of operations it finds that leads to it.
func TestReferee(t *testing.T) {
	live := os.Getenv("DYNAMODB_LOCAL")
	if live == "" {
		t.Skip("compares with Amazon's DynamoDB Local: run it by make test-dynamodb")
	}
	r := &referee{
		t: t, local: side{http.DefaultClient, live}, ours: side{open(t, dynamodb.Options{}).Client(), "http://dynamodb.local"},
		spent: map[string]bool{}, meant: map[string]int{}, answers: map[string]int{},
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
	t.Logf("seed %d: %d operations, %d answers of either side compared; %d differ as meant, none else", *seed, count, r.pages, meant)
}

// referee compares two sides.
type referee struct {
	t           *testing.T
	local, ours side
	pages       int             // answers seen
	spent       map[string]bool // tokens of transactions that not both sides remember
	meant       map[string]int  // differences by reason
	answers     map[string]int  // operations by kind and status
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
	local, ours answered
	sortKey     string // of the index that a Query reads
}

func (x exchange) String() string {
	return fmt.Sprintf("DynamoDB Local: %s\nemulator:       %s\n(-DynamoDB Local +emulator)\n%s", line(x.local), line(x.ours), cmp.Diff(x.local, x.ours))
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
	defer r.deleteTables(done)
	for at, o := range done {
		if x := r.compare(o); x != nil {
			return at, x
		}
	}
	return 0, nil
}

func (r *referee) deleteTables(done []operation) {
	for _, o := range done {
		if o.Op == "CreateTable" {
			for _, s := range []side{r.local, r.ours} {
				s.carryOut(r.t, operation{"DeleteTable", object{"TableName": o.Request["TableName"]}})
			}
		}
	}
}

// compare carries out an operation on both sides and returns the exchange if the answers
// differ and are not meant to.
func (r *referee) compare(o operation) *exchange {
	token, _ := o.Request["ClientRequestToken"].(string)
	if r.spent[token] {
		return nil
	}
	x := &exchange{operation: o, local: r.local.carryOut(r.t, o), ours: r.ours.carryOut(r.t, o)}
	r.pages += len(x.local.Pages)
	r.answers[fmt.Sprintf("%s %d", o.Op, x.ours.Status)]++
	if cmp.Equal(x.local, x.ours) {
		return nil
	}
	if o.Op == "Query" && o.Request["IndexName"] != nil && x.answered() {
		x.sortKey = r.sortKey(o)
	}
	for _, d := range meantDifferences {
		if !d.meant(x) {
			continue
		}
		r.meant[d.why]++
		if !x.answered() { // DynamoDB Local may have written what it refused
			r.align(o)
			r.spent[token] = token != ""
		}
		return nil
	}
	return x
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

// describe returns the emulator's description of a table, nil if there is none.
func (r *referee) describe(table any) object {
	description, _ := r.ours.carryOut(r.t, operation{"DescribeTable", object{"TableName": table}}).Pages[0]["Table"].(object)
	return description
}

// carryOut sends an operation, a Query or Scan to its last page.
func (s side) carryOut(t *testing.T, o operation) answered {
	var a answered
	request := maps.Clone(o.Request)
	for range 100 {
		status, page := send(t, s.client, s.url, o.Op, []byte(line(request)))
		a.Status, a.Pages = status, append(a.Pages, comparableForm(page).(object))
		last := page.(object)["LastEvaluatedKey"]
		if last == nil || status != http.StatusOK {
			return a
		}
		request["ExclusiveStartKey"] = last
	}
	return a
}

// align makes the tables of an operation on DynamoDB Local hold what the emulator holds.
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
		wanted, held := r.ours.items(r.t, name), r.local.items(r.t, name)
		for text, it := range held {
			if wanted[text] == nil {
				r.local.carryOut(r.t, operation{"DeleteItem", object{"TableName": name, "Key": keyOf(table, it)}})
			}
		}
		for text, it := range wanted {
			if held[text] == nil {
				r.local.carryOut(r.t, operation{"PutItem", object{"TableName": name, "Item": it}})
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
			if at, y := r.play(renew(fewer)); y != nil && at == len(fewer)-1 {
				done, x = fewer, y
			} else {
				from += size
			}
		}
	}
	return done, x
}

// renew gives transactions other tokens, for those that were used are remembered.
func renew(done []operation) []operation {
	renewed := slices.Clone(done)
	run := fmt.Sprint(rand.Uint32())
	for i, o := range done {
		if token, ok := o.Request["ClientRequestToken"].(string); ok && token != "" && len(token) <= 36 {
			renewed[i].Request = maps.Clone(o.Request)
			renewed[i].Request["ClientRequestToken"] = run + token[strings.LastIndex(token, "-"):]
		}
	}
	return renewed
}
