package dynamodb

import (
	"bytes"
	"maps"
	"slices"
	"strings"
)

// consumedCapacity counts units as the Developer Guide does ("DynamoDB read and write
// operations"): reads by 4 KB, half when eventually consistent; writes by 1 KB of the
// larger of the item before and after; every index entry written likewise; twice that
// within a transaction.
type consumedCapacity struct {
	TableName              string
	CapacityUnits          float64
	ReadCapacityUnits      float64                  `json:",omitempty"`
	WriteCapacityUnits     float64                  `json:",omitempty"`
	Table                  *capacityUnits           `json:",omitempty"`
	GlobalSecondaryIndexes map[string]capacityUnits `json:",omitempty"`
}

type capacityUnits struct {
	CapacityUnits      float64
	ReadCapacityUnits  float64 `json:",omitempty"`
	WriteCapacityUnits float64 `json:",omitempty"`
}

// usage adds up the units of one table, by index name; "" is the table itself.
type usage map[string]float64

func readUnits(size int, consistent bool) float64 {
	units := float64(max(1, (size+4095)/4096))
	if consistent {
		return units
	}
	return units / 2
}

func writeUnits(size int) float64 { return float64(max(1, (size+1023)/1024)) }

// written counts replacing old by updated; nil is no item.
func (t *table) written(old, updated item) usage {
	u := usage{"": writeUnits(max(old.size(), updated.size()))}
	for _, ix := range t.Indexes {
		oldKey, before := t.indexEntry(ix, old)
		newKey, after := t.indexEntry(ix, updated)
		switch {
		case oldKey != nil && newKey != nil && bytes.Equal(oldKey, newKey):
			if !maps.EqualFunc(before, after, value.equal) {
				u[ix.Name] += writeUnits(max(before.size(), after.size()))
			}
		default:
			if oldKey != nil {
				u[ix.Name] += writeUnits(before.size())
			}
			if newKey != nil {
				u[ix.Name] += writeUnits(after.size())
			}
		}
	}
	return u
}

func (u usage) add(o usage) {
	for name, units := range o {
		u[name] += units
	}
}

// report gives the units as the request's ReturnConsumedCapacity asks, nil for NONE.
func (u usage) report(table string, detail *string) *consumedCapacity {
	if !is(detail, "TOTAL") && !is(detail, "INDEXES") {
		return nil
	}
	c := &consumedCapacity{TableName: table}
	for _, units := range u {
		c.CapacityUnits += units
	}
	if is(detail, "TOTAL") {
		return c
	}
	c.Table = &capacityUnits{CapacityUnits: u[""]}
	for name, units := range u {
		if name == "" {
			continue
		}
		if c.GlobalSecondaryIndexes == nil {
			c.GlobalSecondaryIndexes = map[string]capacityUnits{}
		}
		c.GlobalSecondaryIndexes[name] = capacityUnits{CapacityUnits: units}
	}
	return c
}

// reports lists the capacity of several tables in the order of their names.
func reports(byTable map[string]usage, detail *string) []*consumedCapacity {
	var all []*consumedCapacity
	for _, name := range slices.Sorted(maps.Keys(byTable)) {
		if c := byTable[name].report(name, detail); c != nil {
			all = append(all, c)
		}
	}
	return all
}

// is reports whether a member that may be absent has this value.
func is(given *string, value string) bool { return given != nil && *given == value }

// checkEnum refuses a member whose value is not among the allowed; it may be absent.
func checkEnum(member string, given *string, allowed ...string) error {
	if given == nil || slices.Contains(allowed, *given) {
		return nil
	}
	return unsatisfied("'"+*given+"'", member, "Member must satisfy enum value set: ["+strings.Join(allowed, ", ")+"]")
}

func checkCapacityDetail(given *string) error {
	return checkEnum("returnConsumedCapacity", given, "INDEXES", "TOTAL", "NONE")
}
