package stepfunctions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// An object is one object of a definition while it is compiled: the fields that
// are read are ticked off, and end reports the rest as unsupported.
type object struct {
	c      *compiler
	where  string
	fields map[string]any
	had    map[string]bool // fields that were there when they were read
}

// object wraps a value that must be a JSON object.
func (c *compiler) object(where string, value any) *object {
	fields, ok := value.(map[string]any)
	o := &object{c: c, where: where, fields: fields, had: map[string]bool{}}
	if !ok {
		o.fault("", "must be an object")
	}
	return o
}

// at returns the path of a field of o.
func (o *object) at(field string) string {
	if o.where == "" || field == "" {
		return o.where + field
	}
	return o.where + "." + field
}

// fault records that a field ("" for the object itself) is wrong.
func (o *object) fault(field, problem string) {
	where := o.at(field)
	if where == "" {
		where = "definition"
	}
	o.c.faults = append(o.c.faults, fmt.Errorf("%s: %s", where, problem))
}

// end reports the fields that nothing has read.
func (o *object) end() {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.had[name] {
			o.fault(name, "unsupported field")
		}
	}
}

func (o *object) ignoreRest() {
	for name := range o.fields {
		o.had[name] = true
	}
}

func (o *object) take(name string) any {
	value, ok := o.fields[name]
	if ok {
		o.had[name] = true
	}
	return value
}

func (o *object) text(name string) (string, bool) {
	value := o.take(name)
	if !o.had[name] {
		return "", false
	}
	text, ok := value.(string)
	if !ok {
		o.fault(name, "must be a string")
	}
	return text, ok
}

func (o *object) required(name string) (string, bool) {
	text, ok := o.text(name)
	if !o.had[name] {
		o.fault(name, "missing")
	}
	return text, ok
}

func (o *object) boolean(name string) bool {
	value := o.take(name)
	if !o.had[name] {
		return false
	}
	b, ok := value.(bool)
	if !ok {
		o.fault(name, "must be true or false")
	}
	return b
}

func (o *object) list(name string) []any {
	value := o.take(name)
	if !o.had[name] {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		o.fault(name, "must be an array")
	}
	return list
}

func (o *object) float(name string, absent, least, most float64, whole bool) float64 {
	value := o.take(name)
	if !o.had[name] {
		return absent
	}
	x, ok := number(value)
	if !ok || x < least || x > most || whole && x != math.Trunc(x) {
		o.fault(name, fmt.Sprintf("must be a number of at least %v and at most %v (whole: %t)", least, most, whole))
	}
	return x
}

func (o *object) seconds(name string, least float64) int64 {
	return int64(o.float(name, 0, least, maxSeconds, true))
}

// path reads a path; absent stands for it when the field is missing ("" makes
// it required), and null gives nil. In a ResultPath or an ItemsPath, reference
// paths into the context object make sense only for the latter.
func (o *object) path(name, absent string, plain bool) *path {
	if value := o.take(name); o.had[name] && value == nil {
		return nil
	}
	text, ok := o.text(name)
	switch {
	case !o.had[name] && absent == "":
		o.fault(name, "missing")
		return nil
	case !o.had[name]:
		text = absent
	case !ok:
		return nil
	}
	p, err := parsePath(text)
	if err != nil {
		o.fault(name, err.Error())
		return nil
	}
	if plain && p.context && name == "ResultPath" {
		o.fault(name, "cannot write into the context object")
	}
	return p
}

func (o *object) optionalPath(name string) *path {
	if _, ok := o.fields[name]; !ok {
		return nil
	}
	return o.path(name, "", false)
}

func (o *object) expr(name string) expr {
	text, ok := o.text(name)
	if !ok {
		return nil
	}
	e, err := parseExpr(text)
	if err != nil {
		o.fault(name, err.Error())
	}
	return e
}

// atMostOne returns how many of the fields are there, and reports two or more.
func (o *object) atMostOne(names ...string) int {
	n := 0
	for _, name := range names {
		if o.had[name] {
			n++
		}
	}
	if n > 1 {
		o.fault("", "takes only one of "+strings.Join(names, ", "))
	}
	return n
}

// constant reads a field whose JSON is taken as it is.
func (o *object) constant(name string) template {
	value := o.take(name)
	if !o.had[name] {
		return nil
	}
	return literal{value}
}

// template reads a payload template, nil if the field is missing.
func (o *object) template(name string) template {
	value := o.take(name)
	if !o.had[name] {
		return nil
	}
	return o.c.template(o.at(name), value)
}

func (c *compiler) template(where string, value any) template {
	switch value := value.(type) {
	case map[string]any:
		var t objectTemplate
		for _, name := range slices.Sorted(maps.Keys(value)) {
			plain, dynamic := strings.CutSuffix(name, ".$")
			field := struct {
				name  string
				value template
			}{name: plain}
			if dynamic {
				if _, both := value[plain]; both {
					c.faults = append(c.faults, fmt.Errorf("%s: both %s and %s", where, plain, name))
				}
				field.value = c.dynamic(where+"."+name, value[name])
			} else {
				field.value = c.template(where+"."+name, value[name])
			}
			t = append(t, field)
		}
		return t
	case []any:
		t := make(arrayTemplate, len(value))
		for i, item := range value {
			t[i] = c.template(fmt.Sprintf("%s[%d]", where, i), item)
		}
		return t
	}
	return literal{value}
}

func (c *compiler) dynamic(where string, value any) template {
	text, ok := value.(string)
	if !ok {
		c.faults = append(c.faults, fmt.Errorf("%s: must be a path or an intrinsic function", where))
		return literal{nil}
	}
	e, err := parseExpr(text)
	if err != nil {
		c.faults = append(c.faults, fmt.Errorf("%s: %w", where, err))
		return literal{nil}
	}
	return e
}

// checkDuplicates refuses an object that has a field twice, which encoding/json
// would pass over.
func checkDuplicates(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return duplicates(d, "")
}

func duplicates(d *json.Decoder, where string) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for i := 0; d.More(); i++ {
		child := fmt.Sprintf("%s[%d]", where, i)
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name := key.(string)
			child = strings.TrimPrefix(where+"."+name, ".")
			if seen[name] {
				return fmt.Errorf("%s: the field is there twice", child)
			}
			seen[name] = true
		}
		if err := duplicates(d, child); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// Substitute fills the ${Name} placeholders of a definition, as CloudFormation
// does with DefinitionSubstitutions. It fails when a placeholder has no value;
// the error names them all. A value is escaped as the inside of a JSON string
// and is not searched for placeholders itself.
func Substitute(asl []byte, values map[string]string) ([]byte, error) {
	var faults []error
	placeholder := regexp.MustCompile(`\$\{[^}"]*\}?`)
	filled := placeholder.ReplaceAllFunc(asl, func(found []byte) []byte {
		name := strings.TrimSuffix(strings.TrimPrefix(string(found), "${"), "}")
		value, ok := values[name]
		if !ok || !bytes.HasSuffix(found, []byte("}")) {
			faults = append(faults, fmt.Errorf("no value for the placeholder %s", found))
			return found
		}
		quoted := encode(value)
		return quoted[1 : len(quoted)-1]
	})
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return filled, nil
}
