package phonenumber

import (
	_ "embed" // the table
	"strings"
)

// table is table.bin, which TestTable writes. Its integers are little-endian. It holds
//
//	header     four offsets of 4 bytes: the automaton of numbers, the automaton of time
//	           zones, the countries, and the lists of time zones
//	nodes      of all automata, each only once
//	countries  records of recordSize in the order of their names
//	zones      an offset of 4 bytes for each list; the lists, names separated by commas,
//	           each ended by a zero byte
//
// An automaton reads digits. A node is a byte, the number of its edges, plus 16 if it has a value;
// the value, 2 bytes; and the edges, 4 bytes each. Ten bits of an edge say which digits lead along
// it, 22 bits are the offset of the node that it leads to.
//
// The automaton of numbers reads the digits of E.164. Each number of a numbering plan ends at a
// node with a value: the index of its country, shifted by kindBits, and its kind. So the automaton
// also contains the lengths of a plan's numbers. In the automaton of time zones a value is the
// index of a list, which applies to all numbers that begin so. In the automata of prefixes a value
// marks the end of a prefix.
//
//go:embed table.bin
var table string

const (
	headerNumbers, headerZones, headerCountries, headerLists = 0, 4, 8, 12

	hasValue  = 16
	edgeCount = 15
	nowhere   = 0 // an offset that no node has

	maxDigits  = 15 // ITU-T E.164, section 6
	kindBits   = 4
	recordSize = 16
)

// global is libphonenumber's name for each of the networks that belong to no country.
const global = "001"

// country is a record of the table: the name, 4 bytes, the calling code, 2 bytes, the offsets of
// two automata, 3 bytes each, and the area code, 4 bytes. Texts are padded with spaces.
type country struct {
	name        string
	callingCode int
	abroad      int    // the prefixes of international numbers as dialed there: 00, 011
	trunk       int    // the prefixes of national numbers as dialed there: 0 in most countries
	area        string // the area code that all local numbers share, if any
}

func u16(at int) int { return int(table[at]) | int(table[at+1])<<8 }
func u24(at int) int { return u16(at) | int(table[at+2])<<16 }
func u32(at int) int { return u24(at) | int(table[at+3])<<24 }

// next is the node that a digit leads to, or nowhere.
func next(node int, digit byte) int {
	if digit < '0' || digit > '9' {
		return nowhere
	}
	edge := node + 1
	if table[node]&hasValue != 0 {
		edge += 2
	}
	for range table[node] & edgeCount {
		e := u32(edge)
		if e>>(digit-'0')&1 != 0 {
			return e >> 10
		}
		edge += 4
	}
	return nowhere
}

func valueOf(node int) (value int, ok bool) {
	if table[node]&hasValue == 0 {
		return 0, false
	}
	return u16(node + 1), true
}

func countryAt(index int) country {
	at := u32(headerCountries) + index*recordSize
	return country{name: text(at), callingCode: u16(at + 4), abroad: u24(at + 6), trunk: u24(at + 9), area: text(at + 12)}
}

func text(at int) string { return strings.TrimRight(table[at:at+4], " ") }

// find is the record of a country, or an empty record for an unknown name.
func find(name string) country {
	low, high := 0, (u32(headerLists)-u32(headerCountries))/recordSize
	for low < high && name != global {
		middle := (low + high) / 2
		switch c := countryAt(middle); {
		case c.name == name:
			return c
		case c.name < name:
			low = middle + 1
		default:
			high = middle
		}
	}
	return country{}
}

func listAt(index int) []string {
	list, _, _ := strings.Cut(table[u32(u32(headerLists)+4*index):], "\x00")
	return strings.Split(list, ",")
}
