package importnumbers

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
)

// Body is the JSON of an import.
type Body struct {
	Numbers []ImportRow `json:"numbers" minItems:"1" maxItems:"500"`
}

// ImportRow describes a number.
type ImportRow struct {
	PhoneNumber  string   `json:"phone_number" doc:"E.164" example:"+2348012345678"`
	Country      string   `json:"country" doc:"ISO 3166-1 alpha-2, the number's own" example:"NG"`
	NumberType   string   `json:"number_type" enum:"local,mobile,toll_free"`
	Capabilities []string `json:"capabilities" enum:"inbound,outbound" minItems:"1" maxItems:"2" doc:"The number's capabilities"`
	Provider     string   `json:"provider" doc:"The provider of the number" example:"Twilio"`
}

func schema(a huma.API) *huma.Schema {
	return a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Body](), true, "InputBody")
}

// row is a parsed row, or the reason why it could not be parsed.
type row struct {
	ImportRow
	err error
}

func (r row) number(now time.Time) number.Number {
	return number.Number{ID: number.ID(r.PhoneNumber), E164: r.PhoneNumber, Country: r.Country, Type: r.NumberType,
		Capabilities: r.Capabilities, Provider: r.Provider, UpdatedAt: now}
}

// shown is the phone number as it was given, cut to 32 characters.
func (r row) shown() string {
	const longest = 32
	text := strings.ToValidUTF8(r.PhoneNumber, "\uFFFD")
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return text
}

// read parses the table in a body.
func read(contentType string, body []byte) (rows []row, err error) {
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && media == "application/json":
		rows, err = readJSON(body)
	case err == nil && media == "text/csv":
		rows, err = readCSV(body)
	default:
		return nil, api.WrongType("application/json or text/csv")
	}
	switch {
	case err != nil:
		return nil, err
	case len(rows) == 0:
		return nil, fault.InvalidField("numbers", "min_items", "must have at least one row")
	case len(rows) > maxRows:
		return nil, fault.InvalidField("numbers", "max_items", fmt.Sprintf("must have at most %d rows", maxRows))
	}
	return rows, nil
}

func readJSON(body []byte) ([]row, error) {
	var table struct {
		Numbers []json.RawMessage `json:"numbers"`
	}
	if err := strictly(body, &table); err != nil {
		return nil, fault.InvalidField("body", "malformed", `is not a JSON object with the one member "numbers", a list`)
	}
	rows := make([]row, len(table.Numbers))
	for i, text := range table.Numbers {
		if strictly(text, &rows[i].ImportRow) != nil {
			rows[i].err = fault.InvalidField("numbers", "malformed", "is not an object with the members of a number")
		}
	}
	return rows, nil
}

// strictly decodes JSON. It refuses unknown members and text behind the JSON.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text behind the JSON")
	}
	return nil
}

// columns are the column names that the first line of a CSV may contain.
var columns = []string{"phone_number", "country", "number_type", "capabilities", "provider"}

func readCSV(body []byte) (rows []row, err error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\uFEFF")))) // a spreadsheet's byte order mark
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	header, err := r.Read()
	if err != nil {
		return nil, fault.InvalidField("body", "malformed", "has no first line with the names of the columns")
	}
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
		if !slices.Contains(columns, header[i]) || slices.Contains(header[:i], header[i]) {
			return nil, fault.InvalidField("body", "unknown", "the columns are "+strings.Join(columns, ", ")+", each once")
		}
	}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil { // an unclosed quote hides where the next row begins
			return nil, fault.InvalidField("body", "malformed", err.Error())
		}
		rows = append(rows, rowOf(header, cells))
	}
}

func rowOf(header, cells []string) (r row) {
	for i, name := range header[:min(len(header), len(cells))] {
		cell := strings.TrimSpace(cells[i])
		switch name {
		case "phone_number":
			r.PhoneNumber = cell
		case "country":
			r.Country = cell
		case "number_type":
			r.NumberType = cell
		case "capabilities":
			r.Capabilities = strings.FieldsFunc(cell, func(c rune) bool { return strings.ContainsRune(" ,;|", c) })
		case "provider":
			r.Provider = cell
		}
	}
	if len(cells) != len(header) {
		r.err = fault.InvalidField("numbers", "malformed", fmt.Sprintf("has %d cells, the first line has %d", len(cells), len(header)))
	}
	return r
}
