package dynamodb

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

// kind is a data type descriptor of the API ("S", "N", …).
type kind string

const (
	kindS    kind = "S"
	kindN    kind = "N"
	kindB    kind = "B"
	kindBOOL kind = "BOOL"
	kindNULL kind = "NULL"
	kindM    kind = "M"
	kindL    kind = "L"
	kindSS   kind = "SS"
	kindNS   kind = "NS"
	kindBS   kind = "BS"
)

// value is one AttributeValue in its normal form. The kind says which other field
// is used; the zero value (no kind) stands for "no attribute".
type value struct {
	kind    kind
	text    string   // S; N in canonical form; B as raw bytes
	bool    bool     // BOOL
	m       item     // M
	l       []value  // L
	set     []string // SS, NS, BS: like text, sorted
	problem *Error   // why this, or a value inside it, is not an AttributeValue
}

// item maps attribute names to values. Values are never changed in place.
type item map[string]value

func (v value) exists() bool { return v.kind != "" }

// number is the value of an N, whose text is known to be canonical.
func (v value) number() number { return parsed(v.text) }

func parsed(canonical string) number {
	n, err := parseNumber(canonical)
	if err != nil {
		panic("dynamodb: stored number " + canonical + " is not canonical")
	}
	return n
}

func numberValue(n number) value { return value{kind: kindN, text: n.String()} }

func (v value) isSet() bool { return v.kind == kindSS || v.kind == kindNS || v.kind == kindBS }

// equal is DynamoDB's =: same type, same value; sets and maps without order.
func (v value) equal(o value) bool {
	if v.kind != o.kind {
		return false
	}
	switch v.kind {
	case kindM:
		return maps.EqualFunc(v.m, o.m, value.equal)
	case kindL:
		return slices.EqualFunc(v.l, o.l, value.equal)
	case kindBOOL:
		return v.bool == o.bool
	case kindSS, kindNS, kindBS:
		return slices.Equal(v.set, o.set)
	}
	return v.text == o.text
}

// compare orders two values of one kind among S, N and B; ok is false for others.
func (v value) compare(o value) (order int, ok bool) {
	if v.kind != o.kind {
		return 0, false
	}
	switch v.kind {
	case kindN:
		return v.number().compare(o.number()), true
	case kindS, kindB:
		return strings.Compare(v.text, o.text), true
	}
	return 0, false
}

// UnmarshalJSON reads the API's form. It fails where JSON types are wrong; what DynamoDB
// refuses otherwise it keeps as the value's problem, for requests are checked in an order.
func (v *value) UnmarshalJSON(data []byte) error {
	err := v.unmarshal(data)
	if refused, ok := errors.AsType[*Error](err); ok && refused.Type == "ValidationException" {
		v.problem = refused
		return nil
	}
	return err
}

func (v *value) unmarshal(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return serialization("Start of structure or map found where not expected")
	}
	maps.DeleteFunc(members, func(_ string, raw json.RawMessage) bool { return bytes.Equal(raw, []byte("null")) })
	if len(members) > 1 {
		return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	for name, raw := range members {
		return v.unmarshalMember(kind(name), raw)
	}
	return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

func (v *value) unmarshalMember(k kind, raw json.RawMessage) error {
	v.kind = k
	switch k {
	case kindS, kindN, kindB:
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return serialization("%s must be a JSON string", k)
		}
		var err error
		v.text, err = scalar(k, text)
		return err
	case kindSS, kindNS, kindBS:
		var texts []string
		if json.Unmarshal(raw, &texts) != nil {
			return serialization("%s must be a JSON list of strings", k)
		}
		return v.unmarshalSet(k, texts)
	case kindBOOL:
		if json.Unmarshal(raw, &v.bool) != nil {
			return serialization("BOOL must be a JSON boolean")
		}
		return nil
	case kindNULL:
		var null bool
		if json.Unmarshal(raw, &null) != nil {
			return serialization("NULL must be a JSON boolean")
		}
		if !null {
			return invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
		return nil
	case kindM:
		if err := json.Unmarshal(raw, &v.m); err != nil {
			return decodeError(err)
		}
		return v.m.check()
	case kindL:
		if err := json.Unmarshal(raw, &v.l); err != nil {
			return decodeError(err)
		}
		for _, element := range v.l {
			if element.problem != nil {
				return element.problem
			}
		}
		return nil
	}
	return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

// check refuses what cannot be attributes: their names and values.
func (it item) check() error {
	for _, name := range slices.Sorted(maps.Keys(it)) {
		switch {
		case name == "":
			return invalid("Empty attribute name")
		case len(name) > maxAttributeName:
			return invalid("Attribute name is too large, must be less than 65536 bytes")
		case it[name].problem != nil:
			return it[name].problem
		}
	}
	return nil
}

// scalar brings the text of an S, N or B to its normal form.
func scalar(k kind, text string) (string, error) {
	switch k {
	case kindN, kindNS:
		n, err := parseNumber(text)
		return n.String(), err
	case kindB, kindBS:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", serialization("Base64 encoded length is expected a multiple of 4 bytes but found: %d", len(text))
		}
		return string(raw), nil
	}
	return text, nil
}

func (v *value) unmarshalSet(k kind, texts []string) error {
	if len(texts) == 0 {
		return invalid("One or more parameter values were invalid: %s", map[kind]string{
			kindSS: "An string set  may not be empty",
			kindNS: "An number set  may not be empty",
			kindBS: "Binary sets should not be empty",
		}[k])
	}
	v.set = make([]string, 0, len(texts))
	for _, text := range texts {
		element, err := scalar(k, text)
		if err != nil {
			return err
		}
		v.set = append(v.set, element)
	}
	sortSet(k, v.set)
	if len(slices.Compact(slices.Clone(v.set))) == len(v.set) {
		return nil
	}
	switch k {
	case kindNS:
		return invalid("Input collection contains duplicates")
	case kindBS:
		return invalid("One or more parameter values were invalid: Input collection [%s]of type BS contains duplicates.", strings.Join(texts, ", "))
	}
	return invalid("One or more parameter values were invalid: Input collection [%s] contains duplicates.", strings.Join(texts, ", "))
}

func sortSet(k kind, set []string) {
	if k != kindNS {
		slices.Sort(set)
		return
	}
	slices.SortFunc(set, func(a, b string) int { return parsed(a).compare(parsed(b)) })
}

// MarshalJSON writes the API's form.
func (v value) MarshalJSON() ([]byte, error) { return v.appendJSON(nil), nil }

func (v value) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, v.kind...)
	dst = append(dst, `":`...)
	switch v.kind {
	case kindS, kindN, kindB:
		dst = appendText(dst, v.kind, v.text)
	case kindBOOL:
		if v.bool {
			dst = append(dst, "true"...)
		} else {
			dst = append(dst, "false"...)
		}
	case kindNULL:
		dst = append(dst, "true"...)
	case kindM:
		dst = v.m.appendJSON(dst)
	case kindL:
		dst = appendList(dst, v.l, value.appendTo)
	default:
		dst = appendList(dst, v.set, func(text string, dst []byte) []byte { return appendText(dst, v.kind, text) })
	}
	return append(dst, '}')
}

func (v value) appendTo(dst []byte) []byte { return v.appendJSON(dst) }

func appendList[T any](dst []byte, elements []T, one func(T, []byte) []byte) []byte {
	dst = append(dst, '[')
	for i, element := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = one(element, dst)
	}
	return append(dst, ']')
}

func appendText(dst []byte, k kind, text string) []byte {
	switch k {
	case kindB, kindBS:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, []byte(text))
		return append(dst, '"')
	}
	return appendString(dst, text)
}

func appendString(dst []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // no string fails to marshal
	}
	return append(dst, quoted...)
}

// MarshalJSON writes the API's form, attributes in the order of their names.
func (it item) MarshalJSON() ([]byte, error) { return it.appendJSON(nil), nil }

func (it item) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(it)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = it[name].appendJSON(dst)
	}
	return append(dst, '}')
}
