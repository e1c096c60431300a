package phonenumber

import (
	"encoding/csv"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"
)

// Parse allocates nothing, because it runs for each request.
func TestParseAllocates(t *testing.T) {
	if got := testing.AllocsPerRun(100, func() { Parse("+14155550100") }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		Parse("+14155550100")
	}
}

func TestTimeZones(t *testing.T) {
	t.Parallel()
	for e164, want := range map[string][]string{
		"+14155550100":   {"America/Los_Angeles"},
		"+12125550100":   {"America/New_York"},
		"+2349101234567": {"Africa/Lagos"},
		"+77012345678":   {"Asia/Almaty", "Asia/Aqtobe"},
		"+870773111632":  nil,
		"+999":           nil,
	} {
		n, _ := Parse(e164)
		if d := cmp.Diff(want, TimeZones(n)); d != "" {
			t.Errorf("%s: %s", e164, d)
		}
	}
	for prefix, names := range readMetadata(t).TimeZones {
		if d := cmp.Diff(names, TimeZones(Number{E164: "+" + prefix})); d != "" {
			t.Errorf("%s: %s", prefix, d)
		}
	}
}

func TestCallingCode(t *testing.T) {
	t.Parallel()
	for _, c := range readMetadata(t).Territories {
		want := c.Code
		if c.Region == global {
			want = 0
		}
		if got := CallingCode(c.Region); got != want {
			t.Errorf("%s: %d, want %d", c.Region, got, want)
		}
	}
	for _, name := range []string{"", "ZZ", "us", "U", "USA", "  ", "AA", global} {
		if got := CallingCode(name); got != 0 {
			t.Errorf("%q: %d", name, got)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Number{
		"+14155550100":      {Country: "US", CallingCode: 1, Kind: FixedOrMobile},
		"+19835550123":      {Country: "US", CallingCode: 1, Kind: FixedOrMobile}, // area codes of 2023 and later
		"+14165550123":      {Country: "CA", CallingCode: 1, Kind: FixedOrMobile},
		"+18765550123":      {Country: "JM", CallingCode: 1, Kind: Mobile},
		"+18005550199":      {Country: "US", CallingCode: 1, Kind: TollFree}, // shared by all countries of +1
		"+2349101234567":    {Country: "NG", CallingCode: 234, Kind: Mobile},
		"+2347001234567":    {Country: "NG", CallingCode: 234, Kind: UAN},
		"+442079460000":     {Country: "GB", CallingCode: 44, Kind: Fixed},
		"+447012345678":     {Country: "GB", CallingCode: 44, Kind: Personal},
		"+441481960194":     {Country: "GG", CallingCode: 44, Kind: Fixed},
		"+390612345678":     {Country: "IT", CallingCode: 39, Kind: Fixed},
		"+390669812345":     {Country: "VA", CallingCode: 39, Kind: Fixed},
		"+77012345678":      {Country: "KZ", CallingCode: 7, Kind: Mobile},
		"+2902158":          {}, // a number of Tristan da Cunha with a digit too few
		"+29022158":         {Country: "SH", CallingCode: 290, Kind: Fixed},
		"+870773111632":     {CallingCode: 870, Kind: Mobile},
		"+80012345678":      {CallingCode: 800, Kind: TollFree},
		"+979123456789":     {CallingCode: 979, Kind: Premium},
		"+1415555010":       {},
		"+141555501000":     {},
		"+12005550100":      {},
		"+4402079460000":    {},
		"+1415555०100":      {},
		"+1 415 555 0100":   {},
		"14155550100":       {},
		"+1415555010a":      {},
		"+14155550100\n":    {},
		"++4155550100":      {},
		"+04155550100":      {},
		"+1234567890123456": {},
		"+1":                {},
		"+":                 {},
		"":                  {},
	} {
		if want.Kind != 0 {
			want.E164 = text
		}
		n, ok := Parse(text)
		if d := cmp.Diff(want, n); d != "" || ok != (want.Kind != 0) {
			t.Errorf("%q: %t, %s", text, ok, d)
		}
	}
}

// kindNames are libphonenumber's names of the kinds.
var kindNames = map[string]Kind{"": 0, "another": 0, "fixed_line": Fixed, "mobile": Mobile, "fixed_line_or_mobile": FixedOrMobile, "toll_free": TollFree,
	"premium_rate": Premium, "shared_cost": SharedCost, "voip": VoIP, "personal_number": Personal, "pager": Pager, "uan": UAN, "voicemail": Voicemail}

// TestJudged: Parse agrees with the package phonenumbers, a port of libphonenumber, on the example
// number of every kind in every country, on numbers of every kind, and on variants of them that
// differ in one digit or in their length. The package reads some numbers as "another" by taking a
// prefix away. Such a text is not a number in E.164. In the premium rate numbers of Belarus, which
// begin with 810, the package finds the national prefix 8. There Parse must follow the numbering
// plan, not the package.
func TestJudged(t *testing.T) {
	t.Parallel()
	rows := readJudged(t)
	right := map[string]map[Kind]int{}
	for _, row := range rows {
		country, kind := strings.ReplaceAll(row[1], global, ""), kindNames[row[2]]
		n, _ := Parse(row[0])
		if n.Kind == Premium && strings.HasPrefix(row[0], "+375810") {
			country, kind = "BY", Premium
		}
		if n.Country != country || n.Kind != kind {
			t.Errorf("%s: %q, %s; the package says %q, %s", row[0], n.Country, n.Kind, row[1], row[2])
			continue
		}
		if right[row[1]] == nil {
			right[row[1]] = map[Kind]int{}
		}
		right[row[1]][kind]++
	}
	t.Logf("%d numbers judged as libphonenumber does:\n%s", len(rows), tabulate(right))
}

func readJudged(t *testing.T) [][]string {
	t.Helper()
	f, err := os.Open("testdata/judged.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// tabulate is a table of counts by country and kind, with their sums.
func tabulate(counts map[string]map[Kind]int) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', tabwriter.AlignRight)
	line := func(name string, of map[Kind]int) {
		fmt.Fprint(w, name)
		for k := Kind(0); k <= Voicemail; k++ {
			fmt.Fprint(w, "\t", strings.TrimPrefix(strconv.Itoa(of[k]), "0"))
		}
		fmt.Fprintln(w, "\t")
	}
	fmt.Fprint(w, "country\tno number")
	for k := Fixed; k <= Voicemail; k++ {
		fmt.Fprint(w, "\t", k)
	}
	fmt.Fprintln(w, "\t")
	sum := map[Kind]int{}
	for _, country := range slices.Sorted(maps.Keys(counts)) {
		line(country, counts[country])
		for k, n := range counts[country] {
			sum[k] += n
		}
	}
	line("all", sum)
	w.Flush()
	return text.String()
}

// patterns classify numbers as libphonenumber does, with the metadata's regular expressions.
type patterns struct {
	plans    map[int][]territory
	compiled map[string]*regexp.Regexp
}

func (p *patterns) matches(pattern, digits string) bool {
	if p.compiled[pattern] == nil {
		p.compiled[pattern] = regexp.MustCompile("^(?:" + pattern + ")$")
	}
	return p.compiled[pattern].MatchString(digits)
}

func (p *patterns) judge(e164 string) (n Number) {
	for length := 1; length <= 3 && length < len(e164); length++ {
		code, _ := strconv.Atoi(e164[1 : 1+length])
		if p.plans[code] == nil {
			continue
		}
		national := e164[1+length:]
		lead := func(t territory) bool { return p.matches("(?:"+t.LeadingDigits+").*", national) }
		c, kind := decide(p.plans[code], lead, func(d *desc) bool {
			return d != nil && slices.Contains(d.Lengths, len(national)) && p.matches(d.Pattern, national)
		})
		if kind != 0 {
			n = Number{E164: e164, Country: strings.TrimSuffix(c.Region, global), CallingCode: code, Kind: kind}
		}
		return n
	}
	return n
}

// TestAgainstPatterns: the table classifies numbers exactly as the regular expressions from which
// it was made.
func TestAgainstPatterns(t *testing.T) {
	t.Parallel()
	m := readMetadata(t)
	p := &patterns{plans: m.plans(), compiled: map[string]*regexp.Regexp{}}
	rng := rand.New(rand.NewPCG(1, 2))
	each := 10
	if testing.Short() {
		each = 1
	}
	right := map[string]map[Kind]int{}
	try := func(e164 string) {
		want := Number{}
		if len(e164) <= 1+maxDigits {
			want = p.judge(e164)
		}
		if n, _ := Parse(e164); n != want {
			t.Errorf("%s: %+v; the patterns say %+v", e164, n, want)
		}
		if right[want.Country] == nil {
			right[want.Country] = map[Kind]int{}
		}
		right[want.Country][want.Kind]++
	}
	for _, c := range m.Territories {
		for _, d := range values(c.kinds()) {
			if d == nil {
				continue
			}
			parsed, err := syntax.Parse(d.Pattern, syntax.Perl)
			if err != nil {
				t.Fatal(err)
			}
			for range each {
				n := []byte(fmt.Sprint("+", c.Code, random(rng, parsed)))
				try(string(n))
				n[2+rng.IntN(len(n)-2)] = '0' + byte(rng.IntN(10))
				try(string(n))
				try(string(n[:len(n)-1]))
				try(string(n) + strconv.Itoa(rng.IntN(10)))
			}
		}
	}
	t.Logf("numbers made at random, by what they are:\n%s", tabulate(right))
}

// random is a text of digits that a pattern matches.
func random(rng *rand.Rand, p *syntax.Regexp) (text string) {
	times := 1
	switch p.Op {
	case syntax.OpLiteral:
		return string(p.Rune)
	case syntax.OpCharClass:
		var digits []rune
		for r := '0'; r <= '9'; r++ {
			if slices.ContainsFunc(slices.Collect(slices.Chunk(p.Rune, 2)), func(c []rune) bool { return c[0] <= r && r <= c[1] }) {
				digits = append(digits, r)
			}
		}
		return string(digits[rng.IntN(len(digits))])
	case syntax.OpAlternate:
		return random(rng, p.Sub[rng.IntN(len(p.Sub))])
	case syntax.OpRepeat:
		times = p.Min + rng.IntN(p.Max-p.Min+1)
	case syntax.OpQuest:
		times = rng.IntN(2)
	}
	for range times {
		for _, sub := range p.Sub {
			text += random(rng, sub)
		}
	}
	return text
}

// TestExamples: the metadata's example of each kind in each country is a number of that kind. The
// judged numbers contain all examples with their countries. An example that several countries of
// one calling code share belongs to the main country.
func TestExamples(t *testing.T) {
	t.Parallel()
	countries := map[string]string{}
	for _, row := range readJudged(t) {
		countries[row[0]] = row[1]
	}
	right := map[string]map[Kind]int{}
	for _, c := range readMetadata(t).Territories {
		if right[c.Region] == nil {
			right[c.Region] = map[Kind]int{}
		}
		for kind, d := range c.kinds() {
			if d == nil || d.Example == "" {
				continue
			}
			e164 := fmt.Sprint("+", c.Code, d.Example)
			n, ok := Parse(e164)
			either := n.Kind == FixedOrMobile && (kind == Fixed || kind == Mobile)
			country, judged := countries[e164]
			if !ok || n.Kind != kind && !either || !judged || strings.TrimSuffix(country, global) != n.Country {
				t.Errorf("%s, %s of %s: %+v, %t; the package says %s, %t", e164, kind, c.Region, n, ok, country, judged)
				continue
			}
			right[c.Region][kind]++
		}
	}
	t.Logf("examples judged right, by the country and the kind of which they are examples:\n%s", tabulate(right))
}
