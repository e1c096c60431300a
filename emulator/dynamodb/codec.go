package dynamodb

import (
	"encoding/binary"
	"errors"
)

// Items are stored as: count, then name and value of every attribute. A value is
// one byte for its kind, then its content; texts and counts carry their length.

var kindCodes = []kind{kindS, kindN, kindB, kindBOOL, kindNULL, kindM, kindL, kindSS, kindNS, kindBS}

func kindCode(k kind) byte {
	for code, known := range kindCodes {
		if known == k {
			return byte(code)
		}
	}
	panic("dynamodb: no code for kind " + string(k))
}

func (it item) encode(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(it)))
	for name, v := range it {
		dst = encodeText(dst, name)
		dst = v.encode(dst)
	}
	return dst
}

func encodeText(dst []byte, text string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

func (v value) encode(dst []byte) []byte {
	dst = append(dst, kindCode(v.kind))
	switch v.kind {
	case kindBOOL:
		if v.bool {
			return append(dst, 1)
		}
		return append(dst, 0)
	case kindNULL:
		return dst
	case kindM:
		return v.m.encode(dst)
	case kindL:
		dst = binary.AppendUvarint(dst, uint64(len(v.l)))
		for _, element := range v.l {
			dst = element.encode(dst)
		}
		return dst
	case kindSS, kindNS, kindBS:
		dst = binary.AppendUvarint(dst, uint64(len(v.set)))
		for _, element := range v.set {
			dst = encodeText(dst, element)
		}
		return dst
	}
	return encodeText(dst, v.text)
}

var errCorrupt = errors.New("dynamodb: stored item is corrupt")

// decoder reads what encode wrote; the first error sticks.
type decoder struct {
	rest []byte
	err  error
}

func decodeItem(data []byte) (item, error) {
	d := &decoder{rest: data}
	it := d.item()
	if d.err == nil && len(d.rest) != 0 {
		d.err = errCorrupt
	}
	return it, d.err
}

func (d *decoder) count() int {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 || n > uint64(len(d.rest)) {
		d.err, d.rest = errCorrupt, nil
		return 0
	}
	d.rest = d.rest[size:]
	return int(n)
}

func (d *decoder) take(n int) string {
	if n > len(d.rest) {
		d.err, d.rest = errCorrupt, nil
		return ""
	}
	taken := string(d.rest[:n])
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) text() string { return d.take(d.count()) }

func (d *decoder) item() item {
	n := d.count()
	it := make(item, n)
	for range n {
		name := d.text()
		it[name] = d.value()
	}
	return it
}

func (d *decoder) value() value {
	code := d.take(1)
	if code == "" || int(code[0]) >= len(kindCodes) {
		d.err, d.rest = errCorrupt, nil
		return value{}
	}
	v := value{kind: kindCodes[code[0]]}
	switch v.kind {
	case kindBOOL:
		v.bool = d.take(1) == "\x01"
	case kindNULL:
	case kindM:
		v.m = d.item()
	case kindL:
		v.l = make([]value, d.count())
		for i := range v.l {
			v.l[i] = d.value()
		}
	case kindSS, kindNS, kindBS:
		v.set = make([]string, d.count())
		for i := range v.set {
			v.set[i] = d.text()
		}
	default:
		v.text = d.text()
	}
	return v
}

// size counts bytes as DynamoDB does (Developer Guide, "DynamoDB item sizes and
// formats"): names and texts by UTF-8 length, a number by its significant digits,
// 3 bytes for a list or map and 1 for each element.
func (it item) size() int {
	total := 0
	for name, v := range it {
		total += len(name) + v.size()
	}
	return total
}

func (v value) size() int {
	switch v.kind {
	case kindBOOL, kindNULL:
		return 1
	case kindM:
		return 3 + len(v.m) + v.m.size()
	case kindL:
		total := 3 + len(v.l)
		for _, element := range v.l {
			total += element.size()
		}
		return total
	case kindSS, kindBS:
		total := 0
		for _, element := range v.set {
			total += len(element)
		}
		return total
	case kindNS:
		total := 0
		for _, element := range v.set {
			total += parsed(element).size()
		}
		return total
	case kindN:
		return v.number().size()
	}
	return len(v.text)
}

// size counts one byte, one more for each pair of significant digits, the pairs lying
// even to the decimal point, and one for a minus sign.
func (n number) size() int {
	size := 1 + (len(n.digits)+n.exp&1+1)/2
	if n.neg {
		size++
	}
	return size
}

// depth is the number of levels of lists and maps in v: 0 for a scalar or set.
func (v value) depth() int {
	deepest := 0
	switch v.kind {
	case kindM:
		for _, element := range v.m {
			deepest = max(deepest, element.depth())
		}
	case kindL:
		for _, element := range v.l {
			deepest = max(deepest, element.depth())
		}
	default:
		return 0
	}
	return deepest + 1
}
