package all_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/template"
)

// This file prices the counts and writes the tables of docs/cost.md.

// price is AWS's price of one unit in us-east-1.
type price struct {
	dollars float64
	unit    string
	list    string // as it is listed
	free    string // each month, to an account alone
	page    string // of aws.amazon.com, where it is listed
	seen    string // where it was looked up
}

const (
	atAWS     = "AWS's page"
	elsewhere = "articles of 2025 and 2026"
	unseen    = "nowhere: to be checked"
)

var prices = struct {
	api, invocation, compute, transition, write, read, storage, backup, logs, oldLogs, metric, alarm, dashboard, trace, secret, secretRead, key, queue price
}{
	api:        price{1e-6, "request to the API", "$1.00 per million", "1 million, in an account's first 12 months", "api-gateway/pricing", elsewhere},
	invocation: price{0.20e-6, "invocation", "$0.20 per million", "1 million", "lambda/pricing", elsewhere},
	compute:    price{0.0000133334, "GB-second", "$0.0000133334, Arm", "400,000", "lambda/pricing", elsewhere},
	transition: price{0.025e-3, "transition", "$0.025 per thousand", "4,000", "step-functions/pricing", atAWS},
	write:      price{0.625e-6, "write unit", "$0.625 per million", "none", "dynamodb/pricing/on-demand", elsewhere},
	read:       price{0.125e-6, "read unit", "$0.125 per million", "none", "dynamodb/pricing/on-demand", elsewhere},
	storage:    price{0.25, "GB-month of records", "$0.25", "25 GB", "dynamodb/pricing/on-demand", atAWS},
	backup:     price{0.20, "GB-month of their backup", "$0.20", "none", "dynamodb/pricing/on-demand", unseen},
	logs:       price{0.50, "GB of logs", "$0.50", "5 GB", "cloudwatch/pricing", elsewhere},
	oldLogs:    price{0.03, "GB-month of logs", "$0.03", "within the 5 GB", "cloudwatch/pricing", unseen},
	metric:     price{0.30, "metric", "$0.30", "10", "cloudwatch/pricing", elsewhere},
	alarm:      price{0.10, "metric of an alarm", "$0.10", "10", "cloudwatch/pricing", elsewhere},
	dashboard:  price{3, "dashboard", "$3.00", "3, of at most 50 metrics each", "cloudwatch/pricing", elsewhere},
	trace:      price{5e-6, "trace", "$5.00 per million", "100,000", "xray/pricing", atAWS},
	secret:     price{0.40, "secret", "$0.40", "none", "secrets-manager/pricing", elsewhere},
	secretRead: price{0.05e-4, "read of a secret", "$0.05 per 10,000", "none", "secrets-manager/pricing", elsewhere},
	key:        price{0.03e-4, "request to KMS", "$0.03 per 10,000", "20,000", "kms/pricing", elsewhere},
	queue:      price{0.40e-6, "request to SQS", "$0.40 per million", "1 million", "sqs/pricing", elsewhere},
}

// These are assumptions about what cannot be counted here. The page says so.
const (
	platformLog = 430 + 3*26 // bytes of Lambda's own three lines for an invocation, and what CloudWatch adds to each line
	accessLog   = 250 + 26   // of API Gateway's line for a request
	historyLog  = 600 + 26   // of Step Functions' line for an event of an execution
	coldStart   = 300        // milliseconds, when Lambda has to start an instance
	restarts    = 12         // how often a day an instance that is always needed is restarted
	hours       = 730        // in a month
	pollers     = 5          // Lambda's pollers of an idle queue, each waiting 20 s at a time
)

// milliseconds is how long an invocation of a function is assumed to take.
func milliseconds(f template.Function) int {
	switch f.Folder {
	case "dialcall":
		return 8000 // it rings
	case "preparecall":
		return 500 // until the agent has come
	case "deliverwebhook", "sweepcalls":
		return 200 // until the user's server, or LiveKit, has answered
	case "livekitwebhook":
		return 20 // most events do not end a call
	}
	if f.Environment["LIVEKIT_URL"] != "" {
		return 100
	}
	return 20 // a few requests to DynamoDB
}

// line is a line of a bill.
type line struct {
	what   string
	amount float64
	price  price
}

func (l line) dollars() float64 { return l.amount * l.price.dollars }

// bill returns the bill of n times the counts.
func bill(tpl *template.Template, c *counts, n float64) []line {
	invocations, gbSeconds, cold := 0, 0.0, 0.0
	for _, f := range tpl.Functions() {
		i := c.invocations[f.Folder]
		invocations += i
		gbSeconds += float64(i*f.MemoryMB) / 1024 * float64(milliseconds(f)) / 1000
		if c.requests > 0 { // scheduled functions stay warm
			cold += float64(i*f.MemoryMB) / 1024 * coldStart / 1000
		}
	}
	logged := c.bytes + 26*c.lines + platformLog*invocations + accessLog*c.requests + historyLog*c.history
	all := []line{
		{"requests to the API", float64(c.requests), prices.api},
		{"Lambda invocations", float64(invocations), prices.invocation},
		{"Lambda GB-seconds, of instances that run", gbSeconds, prices.compute},
		{"Lambda GB-seconds, of starts at each tenth", cold / 10, prices.compute},
		{"state transitions", float64(c.transitions), prices.transition},
		{"DynamoDB writes", sum(c.writes), prices.write},
		{"DynamoDB reads", sum(c.reads), prices.read},
		{"requests to SQS", float64(c.queued), prices.queue},
		{"GB of logs taken in", float64(logged) / 1e9, prices.logs},
		{"GB of logs, kept for a month", float64(logged) / 1e9, prices.oldLogs},
		{"traces, at most", float64(c.executions), prices.trace},
	}
	for i := range all {
		all[i].amount *= n
	}
	return slices.DeleteFunc(all, func(l line) bool { return l.amount == 0 })
}

func sum(units map[string]float64) (total float64) {
	for _, u := range units {
		total += u
	}
	return total
}

// thousand returns the bill of 1,000 calls.
func thousand(tpl *template.Template, one *counts) []line {
	kept := float64(one.kept) * 1000 / 1e9
	return append(bill(tpl, one, 1000), line{"GB of records, kept for a month", kept, prices.storage}, line{"GB of their backup, for a month", kept, prices.backup})
}

// idle returns the bill of a month in which nothing happens.
func idle(t *testing.T, tpl *template.Template, sweeps map[string]*counts) []line {
	t.Helper()
	month := newCounts()
	reads, tables := 0, map[string]bool{}
	for _, s := range tpl.Schedules() {
		month.add(sweeps[s.Function], int(hours*time.Hour/s.Every))
		for name := range sweeps[s.Function].reads {
			table, _, _ := strings.Cut(name, "/")
			tables[s.Function+" "+table] = true
		}
		for _, f := range tpl.Functions() {
			if f.Folder == s.Function {
				reads += restarts * hours / 24 * secretsOf(f)
			}
		}
	}
	alarms, dashboards, secrets := standing(t)
	return append(bill(tpl, month, 1),
		line{"requests to SQS, by Lambda while it waits", pollers * hours * 3600 / 20, prices.queue},
		line{"metrics of the sweeps", float64(len(month.metrics)), prices.metric},
		line{"metrics that alarms watch", float64(alarms), prices.alarm},
		line{"dashboards", float64(dashboards), prices.dashboard},
		line{"secrets", float64(secrets), prices.secret},
		line{fmt.Sprintf("reads of secrets, %d starts a day", restarts), float64(reads), prices.secretRead},
		line{"requests to the key of the tables, at most", float64(len(tables) * hours * 12), prices.key})
}

// secretsOf returns how many secrets a function reads when it starts.
func secretsOf(f template.Function) (n int) {
	for _, r := range f.Rights {
		if r.Action == "secretsmanager:GetSecretValue" {
			n++
		}
	}
	return n
}

var resource = regexp.MustCompile(`(?m)^  \w+:( #.*)?\n    Type: (\S+)\n((    .*)?\n)*`)

// standing counts the resources of template.yaml that cost by the month, without the conditional
// ones. An alarm costs as much as the metrics that it watches.
func standing(t *testing.T) (alarms, dashboards, secrets int) {
	t.Helper()
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range resource.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[0], "\n    Condition: ") {
			continue
		}
		switch m[2] {
		case "AWS::CloudWatch::Alarm":
			alarms += max(1, strings.Count(m[0], "MetricStat:"))
		case "AWS::CloudWatch::Dashboard":
			dashboards++
		case "AWS::SecretsManager::Secret":
			secrets++
		}
	}
	if alarms == 0 || dashboards == 0 || secrets == 0 {
		t.Fatalf("template.yaml was misread: %d metrics of alarms, %d dashboards, %d secrets", alarms, dashboards, secrets)
	}
	return alarms, dashboards, secrets
}

// page writes the tables.
type page struct{ strings.Builder }

func (p *page) row(cells ...string) { fmt.Fprintf(p, "| %s |\n", strings.Join(cells, " | ")) }

func (p *page) table(title string, columns ...string) {
	fmt.Fprintf(p, "\n%s\n\n", title)
	p.row(columns...)
	fmt.Fprintf(p, "|%s\n", strings.Repeat("---|", len(columns)))
}

// bill writes a bill with its sum and its largest lines.
func (p *page) bill(title string, lines []line) {
	p.table(title, "what", "how much", "price of one", "dollars")
	total := together(lines)
	for _, l := range lines {
		p.row(l.what, amount(l.amount), l.price.list, fmt.Sprintf("%.3f", l.dollars()))
	}
	p.row("**together**", "", "", fmt.Sprintf("**%.2f**", total))
	largest := slices.SortedFunc(slices.Values(lines), func(a, b line) int { return int(1e6 * (b.dollars() - a.dollars())) })
	var shares []string
	for _, l := range largest[:3] {
		shares = append(shares, fmt.Sprintf("%s %.0f %%", l.what, 100*l.dollars()/total))
	}
	fmt.Fprintf(p, "\nMost of it: %s.\n", strings.Join(shares, ", "))
}

func together(lines []line) (dollars float64) {
	for _, l := range lines {
		dollars += l.dollars()
	}
	return dollars
}

func amount(n float64) string {
	switch {
	case n < 10 && n != float64(int(n)):
		return fmt.Sprintf("%.3f", n)
	case n < 1000:
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%s,%03d", amount(float64(int(n/1000))), int(n+0.5)%1000)
}

// counted writes the counts of one call.
func (p *page) counted(tpl *template.Template, one *counts) {
	p.table("One call asks for:", "", "", "of that")
	var functions []string
	for _, name := range sortedKeys(one.invocations) {
		functions = append(functions, fmt.Sprintf("%s %d", name, one.invocations[name]))
	}
	invocations := 0
	for _, n := range one.invocations {
		invocations += n
	}
	p.row("requests to the API", amount(float64(one.requests)), "")
	p.row("Lambda invocations", amount(float64(invocations)), strings.Join(functions, ", "))
	p.row("workflows", amount(float64(one.executions)), "the call's")
	p.row("state transitions", amount(float64(one.transitions)), "each state entered and each retry")
	p.row("DynamoDB write units", amount(sum(one.writes)), unitsByName(one.writes))
	p.row("DynamoDB read units", amount(sum(one.reads)), unitsByName(one.reads))
	p.row("requests to DynamoDB", amount(float64(one.asked)), "")
	p.row("requests to SQS", amount(float64(one.queued)), "by functions, and by Lambda to receive and delete")
	p.row("requests to LiveKit", amount(float64(one.livekit)), "")
	p.row("lines of log", amount(float64(one.lines)), fmt.Sprintf("%s bytes, of the functions; and %d events of workflows", amount(float64(one.bytes)), one.history))
	p.row("bytes kept", amount(float64(one.kept)), "with indexes, in tables that forget nothing")
	p.row("CloudWatch metrics", fmt.Sprint(len(one.metrics)), strings.Join(slices.Sorted(maps.Keys(one.metrics)), ", "))

	p.table("How long functions are assumed to take, which cannot be counted:", "function", "MB", "milliseconds")
	for _, f := range tpl.Functions() {
		if one.invocations[f.Folder] > 0 || strings.HasPrefix(f.Folder, "sweep") {
			p.row(f.Folder, fmt.Sprint(f.MemoryMB), fmt.Sprint(milliseconds(f)))
		}
	}
}

// unitsByName lists units by table and index, the largest first.
func unitsByName(units map[string]float64) string {
	names := slices.SortedStableFunc(slices.Values(sortedKeys(units)), func(a, b string) int { return int(2 * (units[b] - units[a])) })
	var list []string
	for _, name := range names {
		list = append(list, fmt.Sprintf("%s %g", name, units[name]))
	}
	return strings.Join(list, ", ")
}

// listed writes the prices and their sources.
func (p *page) listed(bills ...[]line) {
	p.table("The prices, of us-east-1:", "one", "price", "free each month", "listed at aws.amazon.com/", "looked up in")
	seen := map[price]bool{}
	for _, l := range slices.Concat(bills...) {
		if !seen[l.price] {
			p.row(l.price.unit, l.price.list, l.price.free, l.price.page, l.price.seen)
		}
		seen[l.price] = true
	}
}

const (
	costPage  = "../../docs/cost.md"
	costBegin = "<!-- counted by functions/all/cost_test.go: make generate -->\n"
	costEnd   = "<!-- end -->\n"
)

// TestCost counts an ordinary call and an idle month, and compares docs/cost.md with what they
// cost. After a change:
//
//	go test ./functions/all -run TestCost -update
func TestCost(t *testing.T) {
	t.Parallel()
	tpl, one, calls, numbers := ordinaryCall(t)
	thousandCalls, idleMonth := thousand(tpl, one), idle(t, tpl, map[string]*counts{"sweepcalls": calls, "sweepnumbers": numbers})
	if units, dollars := sum(one.writes), together(thousandCalls); units > 55 || one.transitions > 12 || dollars > 0.45 {
		t.Errorf("an ordinary call costs %.0f write units, %d transitions and $%.2f in a thousand; the goal is 55, 12 and $0.45", units, one.transitions, dollars)
	}
	var p page
	p.bill("1,000 such calls cost, beside the idle month:", thousandCalls)
	p.bill("A month without calls costs:", idleMonth)
	p.counted(tpl, one)
	p.listed(thousandCalls, idleMonth)
	text, err := os.ReadFile(costPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), costBegin)
	was, after, closed := strings.Cut(rest, costEnd)
	if !ok || !closed {
		t.Fatalf("%s has lost its marks", costPage)
	}
	got := p.String() + "\n"
	if *update {
		if err := os.WriteFile(costPage, []byte(before+costBegin+got+costEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(was, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("docs/cost.md is not what is counted; go test ./functions/all -run TestCost -update\n%s", diff)
	}
}
