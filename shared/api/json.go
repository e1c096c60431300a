package api

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/krosai/telephony/shared/fault"
)

// maxDepth is how deep arrays and objects may nest in a body.
const maxDepth = 32

// checkJSON finds errors in a body that encoding/json would accept: members that are unknown, in
// another letter case, duplicate or null, text that is not one complete JSON value in UTF-8, text
// that is not legible, and numbers that do not fit. The fields are nil if there are no errors. The
// returned body has whole numbers as encoding/json reads them: 30.0 and 3e1 become 30, because JSON
// Schema treats them as integers (2020-12, section 4.2.3).
func checkJSON(body []byte, schema *huma.Schema, schemas huma.Registry) ([]byte, []fault.Field) {
	if !utf8.Valid(body) {
		return body, []fault.Field{{Field: "body", Code: "malformed", Detail: "is not valid UTF-8"}}
	}
	w := &walk{schemas: schemas,
		tokens: jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))}
	err := w.value(schema, "", 0)
	if err == nil {
		if _, err = w.tokens.ReadToken(); err == nil {
			w.add("", "malformed", "has something after its end")
		}
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errStop) {
		w.add(w.at, "malformed", "is not valid JSON")
	}
	return w.rewrite(body), w.fields
}

// rewrite is the body with the numbers of w.whole replaced.
func (w *walk) rewrite(body []byte) []byte {
	if w.whole == nil {
		return body
	}
	var out []byte
	done := int64(0)
	for _, n := range w.whole {
		out = append(append(out, body[done:n.from]...), n.text...)
		done = n.to
	}
	return append(out, body[done:]...)
}

// errStop ends a walk that has found enough errors.
var errStop = errors.New("enough found")

type walk struct {
	tokens  *jsontext.Decoder
	schemas huma.Registry
	fields  []fault.Field
	at      string // the path of the value being read
	whole   []span // whole numbers written with a point or an exponent
}

// span is a part of the body, as offsets in bytes, and its replacement text.
type span struct {
	from, to int64
	text     string
}

func (w *walk) add(path, code, detail string) {
	if path == "" {
		path = "body"
	}
	w.fields = append(w.fields, fault.Field{Field: path, Code: code, Detail: detail})
}

// value reads one value nested in depth arrays and objects. A nil schema accepts any value.
func (w *walk) value(schema *huma.Schema, path string, depth int) error {
	w.at = path
	if len(w.fields) >= maxFields {
		return errStop
	}
	for schema != nil && schema.Ref != "" {
		schema = w.schemas.SchemaFromRef(schema.Ref)
	}
	token, err := w.tokens.ReadToken()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	kind := token.Kind()
	if (kind == '{' || kind == '[') && depth == maxDepth {
		w.add(path, "too_deep", "is nested too deep")
		return errStop
	}
	if (kind == '{' || kind == '[') && scalar(schema) {
		w.add(path, "type", "must be a "+schema.Type)
		schema = nil
	}
	switch kind {
	case '{':
		return w.object(schema, path, depth)
	case '[':
		return w.array(schema, path, depth)
	case 'n':
		if schema != nil && !schema.Nullable && schema.Type != "" {
			w.add(path, "null", "must not be null")
		}
	case '"':
		w.text(schema, path, token.String())
	case '0':
		w.number(schema, path, token.String())
	}
	return nil
}

func (w *walk) object(schema *huma.Schema, path string, depth int) error {
	seen := map[string]bool{}
	for w.tokens.PeekKind() != '}' {
		token, err := w.tokens.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		member := shown(name)
		if path != "" {
			member = path + "." + member
		}
		if seen[name] {
			w.add(member, "duplicate", "is given more than once")
		}
		seen[name] = true
		if !legible(name) {
			w.add(path, "malformed", "a member's name "+illegible)
		}
		of, known := memberSchema(schema, name)
		if !known {
			w.add(member, "unknown", "there is no such field")
		}
		if err := w.value(of, member, depth+1); err != nil {
			return err
		}
		w.at = path
	}
	_, err := w.tokens.ReadToken()
	return err
}

// memberSchema is the schema of an object's member, and whether the object may have that member.
func memberSchema(object *huma.Schema, name string) (*huma.Schema, bool) {
	if object == nil || object.Type != huma.TypeObject {
		return nil, true
	}
	if of, ok := object.Properties[name]; ok {
		return of, true
	}
	switch more := object.AdditionalProperties.(type) {
	case *huma.Schema:
		return more, true
	case bool:
		return nil, more
	}
	return nil, true
}

// scalar reports whether a schema accepts neither arrays nor objects. Huma finds them too, but
// first compares the items of a list with each other, which is slow for many items that are
// not scalar.
func scalar(schema *huma.Schema) bool {
	if schema == nil {
		return false
	}
	switch schema.Type {
	case huma.TypeString, huma.TypeInteger, huma.TypeNumber, huma.TypeBoolean:
		return true
	}
	return false
}

func (w *walk) array(schema *huma.Schema, path string, depth int) error {
	var items *huma.Schema
	if schema != nil {
		items = schema.Items
	}
	for i := 0; w.tokens.PeekKind() != ']'; i++ {
		if err := w.value(items, path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
			return err
		}
		w.at = path
	}
	_, err := w.tokens.ReadToken()
	return err
}

func (w *walk) text(schema *huma.Schema, path, text string) {
	switch {
	case !legible(text):
		w.add(path, "malformed", illegible)
	case schema != nil && schema.Format == "date-time" && new(Time).UnmarshalText([]byte(text)) != nil:
		w.add(path, "format", "must be an RFC 3339 time, such as 2026-11-22T09:30:00Z")
	}
}

// number refuses numbers that would overflow or be rounded in Go.
func (w *walk) number(schema *huma.Schema, path, text string) {
	if schema != nil && schema.Type == huma.TypeInteger {
		bits := 64
		if schema.Format == "int32" {
			bits = 32
		}
		plain := wholeText(text)
		if _, err := strconv.ParseInt(plain, 10, bits); err != nil {
			w.add(path, "type", "must be a whole number")
		}
		if plain != text {
			end := w.tokens.InputOffset()
			w.whole = append(w.whole, span{end - int64(len(text)), end, plain})
		}
		return
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil {
		w.add(path, "type", "is too large a number")
	}
}

// wholeText is a JSON number without point and exponent. It is empty for a fraction and for a
// number with more digits than 64 bits hold.
func wholeText(number string) string {
	digits, sign := strings.CutPrefix(number, "-")
	exponent := 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(digits[i+1:]); err != nil {
			exponent = len(number) + 20 // beyond every number but 0, with either sign
			if digits[i+1] == '-' {
				exponent = -exponent
			}
		}
		digits = digits[:i]
	}
	digits, fraction, _ := strings.Cut(digits, ".")
	exponent -= len(fraction)
	digits = strings.TrimLeft(digits+fraction, "0")
	significant := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(significant)
	switch {
	case significant == "":
		return "0"
	case exponent < 0, len(significant)+exponent > 19:
		return ""
	case sign:
		significant = "-" + significant
	}
	return significant + strings.Repeat("0", exponent)
}
