package phonenumber

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// metadata is testdata/metadata.json, which scripts/phonenumbers.sh writes.
type metadata struct {
	Version     string
	Territories []territory         // grouped by calling code, in libphonenumber's order
	TimeZones   map[string][]string `json:"time_zones"`
}

// territory is libphonenumber's description of a country or a global network.
type territory struct {
	Code                int
	Region              string
	LeadingDigits       string `json:"leading_digits"`       // if countries share the calling code
	InternationalPrefix string `json:"international_prefix"` // as dialed inside, a pattern
	NationalPrefix      string `json:"national_prefix"`      // likewise
	Transform           string // how the groups of NationalPrefix are rewritten

	General    *desc
	Premium    *desc `json:"premium_rate"`
	TollFree   *desc `json:"toll_free"`
	SharedCost *desc `json:"shared_cost"`
	VoIP       *desc
	Personal   *desc `json:"personal_number"`
	Pager      *desc
	UAN        *desc
	Voicemail  *desc
	Fixed      *desc `json:"fixed_line"`
	Mobile     *desc
}

// desc describes numbers without their calling code.
type desc struct {
	Pattern string
	Lengths []int
	Example string
}

// kinds are the descriptions of a territory's numbers by their kind.
func (t territory) kinds() map[Kind]*desc {
	return map[Kind]*desc{Premium: t.Premium, TollFree: t.TollFree, SharedCost: t.SharedCost, VoIP: t.VoIP, Personal: t.Personal,
		Pager: t.Pager, UAN: t.UAN, Voicemail: t.Voicemail, Fixed: t.Fixed, Mobile: t.Mobile}
}

// asked is the order in which libphonenumber checks the kinds of a number.
var asked = []Kind{Premium, TollFree, SharedCost, VoIP, Personal, Pager, UAN, Voicemail, Fixed, Mobile}

// decide makes libphonenumber's choice among the territories of one calling code. fits reports
// whether a number fits a description, lead whether it begins with a territory's leading digits.
func decide(plan []territory, lead func(territory) bool, fits func(*desc) bool) (chosen territory, kind Kind) {
	for _, t := range plan {
		kind = kindIn(t, fits)
		switch {
		case len(plan) > 1 && t.LeadingDigits != "" && lead(t):
			return t, kind
		case len(plan) > 1 && t.LeadingDigits != "":
		case kind != 0:
			return t, kind
		}
	}
	return territory{}, 0
}

func kindIn(t territory, fits func(*desc) bool) Kind {
	if !fits(t.General) {
		return 0
	}
	kinds := t.kinds()
	for _, k := range asked {
		switch {
		case !fits(kinds[k]):
		case k == Fixed && fits(t.Mobile):
			return FixedOrMobile
		default:
			return k
		}
	}
	return 0
}

func readMetadata(t testing.TB) metadata {
	t.Helper()
	b, err := os.ReadFile("testdata/metadata.json")
	if err != nil {
		t.Fatal(err)
	}
	var m metadata
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// plans are the territories of each calling code.
func (m metadata) plans() map[int][]territory {
	plans := map[int][]territory{}
	for _, t := range m.Territories {
		plans[t.Code] = append(plans[t.Code], t)
	}
	return plans
}

// state is the position in a set of patterns after some digits: for each pattern that can still
// match, the next instructions of its program. It is ordered.
type state []point

type point struct {
	pattern int
	pc      uint32
}

// automaton matches patterns against digits, all at once.
type automaton struct {
	programs []*syntax.Prog
	depth    int // the most digits that are read
	value    func(matched map[int]bool, depth int) (int, bool)
	nodes    *nodes
	seen     map[string]int
}

func program(pattern string) *syntax.Prog {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(err)
	}
	return compiled(parsed)
}

func compiled(parsed *syntax.Regexp) *syntax.Prog {
	p, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		panic(err)
	}
	return p
}

// compile turns the patterns into nodes and returns the first.
func (a *automaton) compile() int {
	var start state
	for i, p := range a.programs {
		start = a.follow(start, i, uint32(p.Start))
	}
	a.seen = map[string]int{}
	return a.node(start, 0)
}

func (a *automaton) node(s state, depth int) int {
	slices.SortFunc(s, func(x, y point) int { return cmp.Or(x.pattern-y.pattern, cmp.Compare(x.pc, y.pc)) })
	s = slices.Compact(s)
	key := strconv.Itoa(depth)
	ended := map[int]bool{}
	for _, p := range s {
		key += " " + strconv.Itoa(p.pattern) + "." + strconv.Itoa(int(p.pc))
		if a.programs[p.pattern].Inst[p.pc].Op == syntax.InstMatch {
			ended[p.pattern] = true
		}
	}
	if id, ok := a.seen[key]; ok {
		return id
	}
	var n node
	if len(ended) > 0 {
		n.value, n.valued = a.value(ended, depth)
	}
	for digit := range 10 {
		var after state
		for _, p := range s {
			if in := a.programs[p.pattern].Inst[p.pc]; in.Op != syntax.InstMatch && in.MatchRune('0'+rune(digit)) {
				after = a.follow(after, p.pattern, in.Out)
			}
		}
		if len(after) > 0 && depth < a.depth {
			n.to[digit] = a.node(after, depth+1)
		}
	}
	a.seen[key] = a.nodes.add(n)
	return a.seen[key]
}

// follow adds to a state the instructions that a program can reach without reading a digit.
func (a *automaton) follow(s state, pattern int, pc uint32) state {
	switch in := a.programs[pattern].Inst[pc]; in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		return a.follow(a.follow(s, pattern, in.Out), pattern, in.Arg)
	case syntax.InstCapture, syntax.InstNop:
		return a.follow(s, pattern, in.Out)
	case syntax.InstFail:
		return s
	case syntax.InstEmptyWidth:
		panic("a pattern asks for a place in the text")
	default:
		return append(s, point{pattern, pc})
	}
}

// node is a node of an automaton. 0 is nowhere, other nodes are named by their number.
type node struct {
	value  int
	valued bool
	to     [10]int
}

// nodes are the nodes of all automata. A node from which no value can be reached is nowhere.
type nodes struct {
	all []node
	ids map[node]int
}

func (ns *nodes) add(n node) int {
	if !n.valued && n.to == [10]int{} {
		return 0
	}
	if id, ok := ns.ids[n]; ok {
		return id
	}
	ns.all = append(ns.all, n)
	ns.ids[n] = len(ns.all)
	return len(ns.all)
}

// write appends the nodes to the table and returns the offset of each.
func (ns *nodes) write(table []byte) (_ []byte, offsets []int) {
	offsets = []int{nowhere}
	for _, n := range ns.all { // an edge leads to a node that was added before
		offsets = append(offsets, len(table))
		var targets []int
		masks := map[int]uint32{}
		for digit, to := range n.to {
			if to != 0 && masks[to] == 0 {
				targets = append(targets, to)
			}
			masks[to] |= 1 << digit
		}
		slices.SortFunc(targets, func(x, y int) int { return bits.OnesCount32(masks[y]) - bits.OnesCount32(masks[x]) })
		head := byte(len(targets))
		if n.valued {
			table = binary.LittleEndian.AppendUint16(append(table, head|hasValue), uint16(n.value))
		} else {
			table = append(table, head)
		}
		for _, to := range targets {
			table = binary.LittleEndian.AppendUint32(table, masks[to]|uint32(offsets[to])<<10)
		}
	}
	return table, offsets
}

// numbersOf makes the automaton of numbers. index returns a territory's index among the countries.
func (ns *nodes) numbersOf(m metadata, index func(territory) int) int {
	a := automaton{nodes: ns, depth: maxDigits}
	patterns, leads := map[*desc]int{}, map[string]int{}
	codeOf := map[int]int{} // the calling code of each pattern
	add := func(pattern string, code int) int {
		a.programs = append(a.programs, program(pattern))
		codeOf[len(a.programs)-1] = code
		return len(a.programs) - 1
	}
	for _, t := range m.Territories {
		code := strconv.Itoa(t.Code)
		for _, d := range append([]*desc{t.General}, values(t.kinds())...) {
			if d != nil {
				patterns[d] = add(code+"(?:"+d.Pattern+")", t.Code)
			}
		}
		if t.LeadingDigits != "" {
			leads[t.Region] = add(code+"(?:"+t.LeadingDigits+`)\d*`, t.Code)
		}
	}
	plans := m.plans()
	a.value = func(matched map[int]bool, depth int) (int, bool) {
		var code int // all patterns that matched have one calling code
		for pattern := range matched {
			code = codeOf[pattern]
		}
		lead := func(t territory) bool { return matched[leads[t.Region]] }
		t, kind := decide(plans[code], lead, func(d *desc) bool {
			return d != nil && slices.Contains(d.Lengths, depth-len(strconv.Itoa(code))) && matched[patterns[d]]
		})
		if kind == 0 {
			return 0, false
		}
		return index(t)<<kindBits | int(kind), true
	}
	return a.compile()
}

func values(kinds map[Kind]*desc) (list []*desc) {
	for _, k := range asked {
		list = append(list, kinds[k])
	}
	return list
}

// prefixesOf makes the automaton of the prefixes that a pattern describes.
func (ns *nodes) prefixesOf(p *syntax.Regexp) int {
	if p == nil {
		return nowhere
	}
	a := automaton{nodes: ns, depth: maxDigits, programs: []*syntax.Prog{compiled(p)}}
	a.value = func(_ map[int]bool, depth int) (int, bool) { return 0, depth > 0 }
	return a.compile()
}

// zonesOf makes the automaton of time zones, and returns their lists.
func (ns *nodes) zonesOf(m metadata) (first int, lists []string) {
	for _, names := range m.TimeZones {
		lists = append(lists, strings.Join(names, ","))
	}
	slices.Sort(lists)
	lists = slices.Compact(lists)
	begun := map[string]bool{}
	for prefix := range m.TimeZones {
		for end := range len(prefix) + 1 {
			begun[prefix[:end]] = true
		}
	}
	var below func(prefix string) int
	below = func(prefix string) int {
		var n node
		if names, ok := m.TimeZones[prefix]; ok {
			n.value, n.valued = slices.Index(lists, strings.Join(names, ",")), true
		}
		for digit := range 10 {
			if longer := prefix + strconv.Itoa(digit); begun[longer] {
				n.to[digit] = below(longer)
			}
		}
		return ns.add(n)
	}
	return below(""), lists
}

// trunkOf reads a territory's pattern of national prefixes. The pattern that it returns ends where
// the national number begins. A group that Transform keeps is part of the number. An alternative
// that reaches the end of the text is a local number, and Transform puts the area code before it.
func trunkOf(t territory) (prefixes *syntax.Regexp, area string) {
	if t.NationalPrefix == "" {
		return nil, ""
	}
	p, err := syntax.Parse(t.NationalPrefix, syntax.Perl)
	if err != nil {
		panic(err)
	}
	alternatives := []*syntax.Regexp{p}
	if p.Op == syntax.OpAlternate {
		alternatives = p.Sub
	}
	var kept []*syntax.Regexp
	for _, a := range alternatives {
		if a.Op == syntax.OpConcat && a.Sub[len(a.Sub)-1].Op == syntax.OpEndText {
			area, _, _ = strings.Cut(t.Transform, `\`)
			continue
		}
		kept = append(kept, a)
	}
	switch {
	case len(kept) == 0:
		return nil, area
	case len(kept) < len(alternatives):
		p = &syntax.Regexp{Op: syntax.OpAlternate, Flags: p.Flags, Sub: kept}
	case strings.HasPrefix(t.Transform, `\`):
		group, _ := strconv.Atoi(t.Transform[1:])
		empty(p, group)
	}
	return p, area
}

// empty removes from a pattern what a group matches.
func empty(p *syntax.Regexp, group int) {
	for _, sub := range p.Sub {
		if sub.Op == syntax.OpCapture && sub.Cap == group {
			sub.Sub[0] = &syntax.Regexp{Op: syntax.OpEmptyMatch}
		}
		empty(sub, group)
	}
}

// compile makes the table.
func compile(m metadata) []byte {
	countries := slices.Clone(m.Territories)
	slices.SortFunc(countries, func(x, y territory) int { return cmp.Or(strings.Compare(x.Region, y.Region), x.Code-y.Code) })
	ns := &nodes{ids: map[node]int{}}
	numbers := ns.numbersOf(m, func(t territory) int {
		return slices.IndexFunc(countries, func(c territory) bool { return c.Region == t.Region && c.Code == t.Code })
	})
	zones, lists := ns.zonesOf(m)
	var records []record
	for _, c := range countries {
		r := record{territory: c}
		if c.InternationalPrefix != "" {
			abroad, err := syntax.Parse(c.InternationalPrefix, syntax.Perl)
			if err != nil {
				panic(err)
			}
			r.abroad = ns.prefixesOf(abroad)
		}
		var trunk *syntax.Regexp
		trunk, r.area = trunkOf(c)
		r.trunk = ns.prefixesOf(trunk)
		records = append(records, r)
	}
	return write(ns, numbers, zones, records, lists)
}

// record is a territory with the nodes of its automata.
type record struct {
	territory
	abroad, trunk int
	area          string
}

func write(ns *nodes, numbers, zones int, records []record, lists []string) []byte {
	table, offsets := ns.write(make([]byte, 16))
	start := len(table)
	for _, r := range records {
		table = append(table, fmt.Sprintf("%-4s", r.Region)...)
		table = binary.LittleEndian.AppendUint16(table, uint16(r.Code))
		for _, at := range []int{offsets[r.abroad], offsets[r.trunk]} {
			table = append(table, byte(at), byte(at>>8), byte(at>>16))
		}
		table = append(table, fmt.Sprintf("%-4s", r.area)...)
	}
	at := len(table)
	for i, offset := range []int{offsets[numbers], offsets[zones], start, at} {
		binary.LittleEndian.PutUint32(table[4*i:], uint32(offset))
	}
	end := at + 4*len(lists)
	for _, list := range lists {
		table = binary.LittleEndian.AppendUint32(table, uint32(end))
		end += len(list) + 1
	}
	for _, list := range lists {
		table = append(append(table, list...), 0)
	}
	return table
}
