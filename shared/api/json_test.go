package api_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/fault"
)

// good adds a member to an otherwise valid body.
func good(member string) string { return `{"phone_number":"+14155550100",` + member + `}` }

func TestBodies(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return good(`"any":` + strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for _, c := range []struct {
		name, body string
		want       string // "field code" of each error, or "" if the body is valid
	}{
		{"least", `{"phone_number":"+14155550100"}`, ""},
		{"white space around", " \r\n\t{ \"phone_number\" : \"+14155550100\" } \n", ""},
		{"escapes", `{"phone\u005fnumber":"\u002b14155550100"}`, ""},
		{"every field", good(`"count":1,"small":2,"speed":1.5e0,"loud":true,"kind":"local","numbers":["a"],"part":{"name":"a"},"parts":[{"name":"b"}],"metadata":{"k":"v"},"any":{"x":[1,null]},"reason":"r","expires_at":"2026-11-22T09:30:00Z","site":"192.0.2.1"`), ""},
		{"null for a nullable field", good(`"reason":null`), ""},
		{"null inside a free value", good(`"any":{"a":null}`), ""},
		{"surrogate pair", good(`"kind":"local","any":"\ud83d\udcde"`), ""},
		{"time with an offset", good(`"expires_at":"2026-11-22T10:30:00.123456+01:00"`), ""},
		{"deepest", deep(31), ""},

		{"not JSON", `hello`, "body malformed"},
		{"white space", `   `, "body malformed"},
		{"half", `{"phone_number":"+14155550100"`, "body malformed"},
		{"half a member", `{"phone_number":`, "phone_number malformed"},
		{"half a string", `{"phone_number":"+1415`, "phone_number malformed"},
		{"trailing comma", `{"phone_number":"+14155550100",}`, "body malformed"},
		{"trailing object", `{"phone_number":"+14155550100"}{}`, "body malformed"},
		{"trailing letter", `{"phone_number":"+14155550100"}x`, "body malformed"},
		{"trailing NUL", "{\"phone_number\":\"+14155550100\"}\x00", "body malformed"},
		{"single quotes", `{'phone_number':'+14155550100'}`, "body malformed"},
		{"comment", `{"phone_number":"+14155550100"/*x*/}`, "body malformed"},
		{"byte order mark", "\ufeff" + `{"phone_number":"+14155550100"}`, "body malformed"},
		{"bad UTF-8", "{\"phone_number\":\"+1415555010\xff\"}", "body malformed"},
		{"UTF-16", "{\x00}\x00", "body malformed"},
		{"lone surrogate", good(`"kind":"\ud800"`), "kind malformed"},
		{"surrogates in the wrong order", good(`"kind":"\udcde\ud83d"`), "kind malformed"},
		{"bad escape", good(`"kind":"\x41"`), "kind malformed"},
		{"raw newline in a string", good("\"kind\":\"a\nb\""), "kind malformed"},
		{"NaN", good(`"speed":NaN`), "speed malformed"},
		{"plus sign", good(`"count":+1`), "count malformed"},
		{"leading zero", good(`"count":01`), "body malformed"},
		{"hex", good(`"count":0x1`), "body malformed"},

		{"null", `null`, "body null"},
		{"array", `[]`, "body type"},
		{"string", `"x"`, "body type"},
		{"number", `1`, "body type"},
		{"empty object", `{}`, "phone_number required"},
		{"null for what is required", `{"phone_number":null}`, "phone_number null"},
		{"null for what is optional", good(`"kind":null`), "kind null"},
		{"null for an object", good(`"part":null`), "part null"},
		{"null for a list", good(`"numbers":null`), "numbers null"},
		{"null in a list", good(`"numbers":[null]`), "numbers[0] null"},
		{"null in a map", good(`"metadata":{"order":null}`), "metadata.order null"},
		{"null for a map", good(`"metadata":null`), "metadata null"},

		{"unknown field", good(`"status":"completed"`), "status unknown"},
		{"unknown fields", good(`"user_id":"bob","cost":0`), "user_id unknown, cost unknown"},
		{"unknown field, deep", good(`"parts":[{"name":"a"},{"name":"b","x":1}]`), "parts[1].x unknown"},
		{"letter case", `{"Phone_Number":"+14155550100"}`, "Phone_Number unknown"},
		{"letter case beside the right one", good(`"PHONE_NUMBER":"+14155550199"`), "PHONE_NUMBER unknown"},
		{"folded letter ſ", good(`"ſmall":1`), "ſmall unknown"},
		{"folded letter K", good("\"\u212Aind\":\"local\""), "\u212Aind unknown"},
		{"empty name", good(`"":1`), "body unknown"},
		{"__proto__", good(`"__proto__":{"a":1}`), "__proto__ unknown"},
		{"duplicate", `{"phone_number":"+14155550100","phone_number":"+14155550199"}`, "phone_number duplicate"},
		{"duplicate, escaped", `{"phone_number":"+14155550100","phone\u005fnumber":"+14155550199"}`, "phone_number duplicate"},
		{"duplicate, deep", good(`"part":{"name":"a","name":"b"}`), "part.name duplicate"},
		{"duplicate in a map", good(`"metadata":{"order":"1","order":"2"}`), "metadata.order duplicate"},
		{"duplicate in a free value", good(`"any":[{"a":1,"a":2}]`), "any[0].a duplicate"},
		{"NUL", good(`"kind":"local\u0000"`), "kind malformed"},
		{"U+0085", good(`"kind":"local\u0085"`), "kind malformed"},
		{"U+009B as it is", good("\"any\":\"\u009b\""), "any malformed"},
		{"NUL in a map", good(`"metadata":{"order":"\u0000"}`), "metadata.order malformed"},
		{"NUL in a name", good(`"metadata":{"a\u0000":"b"}`), "metadata malformed"},
		{"too deep", deep(32), "any" + strings.Repeat("[0]", 31) + " too_deep"},
		{"far too deep", deep(30000), "any" + strings.Repeat("[0]", 31) + " too_deep"},

		{"string for a number", good(`"count":"1"`), "count type"},
		{"number for a string", `{"phone_number":14155550100}`, "phone_number type"},
		{"object for a string", `{"phone_number":{"a":1}}`, "phone_number type"},
		{"list for a string", `{"phone_number":["+14155550100"]}`, "phone_number type"},
		{"number for a boolean", good(`"loud":1`), "loud type"},
		{"object for a list", good(`"numbers":{}`), "numbers type"},
		{"list for an object", good(`"part":[]`), "part type"},
		{"list for a map", good(`"metadata":[]`), "metadata type"},
		{"number in a map", good(`"metadata":{"order":1}`), "metadata.order type"},
		{"fraction for a whole number", good(`"count":1.5`), "count type"},
		{"part of a whole number", good(`"count":15e-1`), "count type"},
		{"a tiny fraction of a whole number", good(`"count":1.0000000000000000000000001`), "count type"},
		{"a fraction that float64 rounds away", good(`"small":1073741824.00000000001`), "small type"},
		{"1.0 for a whole number", good(`"count":1.0`), ""},
		{"1e0 for a whole number", good(`"count":1e0`), ""},
		{"tenths of a whole number", good(`"count":40e-1`), ""},
		{"0.003e3 for a whole number", good(`"count":0.003E+3`), ""},
		{"minus zero", good(`"small":-0.0e999999999999999999999`), ""},
		{"whole and too large", good(`"count":1.1e1`), "count maximum"},
		{"whole and too small", good(`"count":0.0`), "count minimum"},
		{"beyond 32 bits, with an exponent", good(`"small":3e9`), "small type"},
		{"beyond every exponent", good(`"count":1e999999999999999999999`), "count type"},
		{"below every exponent", good(`"count":1e-999999999999999999999`), "count type"},
		{"whole numbers in many places", good(`"count":1.0,"any":1.0,"small":2e0,"speed":1.0`), ""},
		{"beyond 64 bits", good(`"count":9223372036854775808`), "count type"},
		{"beyond 32 bits", good(`"small":2147483648`), "small type"},
		{"beyond float64", good(`"speed":1e400`), "speed type"},
		{"beyond float64 in a free value", good(`"any":1e400`), "any type"},

		{"too small", good(`"count":0`), "count minimum"},
		{"too large", good(`"count":11`), "count maximum"},
		{"pattern", `{"phone_number":"14155550100"}`, "phone_number pattern"},
		{"pattern with newline", `{"phone_number":"+14155550100\n"}`, "phone_number pattern"},
		{"full-width digits", `{"phone_number":"+１４１５５５５０１００"}`, "phone_number pattern"},
		{"enum", good(`"kind":"landline"`), "kind enum"},
		{"too short", good(`"part":{"name":""}`), "part.name too_short"},
		{"too long", good(`"part":{"name":"123456789"}`), "part.name too_long"},
		{"missing, deep", good(`"part":{}`), "part.name required"},
		{"missing in a list", good(`"parts":[{"note":"x"}]`), "parts[0].name required"},
		{"too few", good(`"numbers":[]`), "numbers too_few"},
		{"too many", good(`"numbers":["a","b","c","d"]`), "numbers too_many"},
		{"twice in a list", good(`"numbers":["a","a"]`), "numbers duplicate"},
		{"too many in a map", good(`"metadata":{"a":"","b":"","c":""}`), "metadata too_many"},
		{"format", good(`"site":"example.com"`), "site format"},
		{"not a time", good(`"expires_at":"tomorrow"`), "expires_at format"},
		{"time with a comma", good(`"expires_at":"2026-11-22T12:00:00,5Z"`), "expires_at format"},
		{"hour of one digit", good(`"expires_at":"2026-11-22T9:30:00Z"`), "expires_at format"},
		{"a zone that is none", good(`"expires_at":"2026-11-22T09:30:00+24:00"`), "expires_at format"},
		{"time without a zone", good(`"expires_at":"2026-11-22T09:30:00"`), "expires_at format"},
		{"several", `{"count":0,"kind":"x"}`, "count minimum, kind enum, phone_number required"},
		{"long name", good(`"` + strings.Repeat("n", 200) + `":1`), strings.Repeat("n", 64) + "… unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for way, send := range ways {
				got := send(t, b.handler, ask{method: "POST", target: "/things/" + thingID + "/make", key: b.writer, body: c.body})
				if c.want == "" {
					if got.status != 200 {
						t.Errorf("%s: %d %s", way, got.status, got.body)
					}
					continue
				}
				if got.status != 400 {
					t.Errorf("%s: status = %d, want 400: %s", way, got.status, got.body)
					continue
				}
				p := got.problem(t)
				var errs []string
				for _, e := range p.Errors {
					errs = append(errs, e.Field+" "+e.Code)
					if e.Detail == "" || strings.Contains(e.Detail, "415555010０") || strings.Contains(e.Detail, "^") || strings.Contains(e.Detail, "landline") {
						t.Errorf("detail %q", e.Detail)
					}
				}
				if got := strings.Join(errs, ", "); p.Code != "INVALID_REQUEST" || got != c.want {
					t.Errorf("%s: %s %q, want %q", way, p.Code, got, c.want)
				}
			}
		})
	}
}

func TestAnswerBody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for way, send := range ways {
		got := send(t, b.handler, ask{method: "POST", target: "/things/" + thingID + "/make", key: b.writer,
			header: http.Header{"X-Key": {"a,b, c"}, "Accept": {"text/html, json"}, "Accept-Encoding": {"gzip"}},
			body:   good(`"metadata":{"order":"A<1>&\u2028"},"expires_at":"2026-11-22T10:30:00+01:00"`)})
		want := `{"thing_id":"` + thingID + `","key":"a,b, c","user_id":"ada","made":{"phone_number":"+14155550100",` +
			`"metadata":{"order":"A<1>&\u2028"},"expires_at":"2026-11-22T09:30:00.000Z"},` +
			`"at":"2026-11-22T09:30:00.123Z","ended_at":null}` + "\n"
		if diff := cmp.Diff(want, string(got.body)); diff != "" {
			t.Errorf("%s: %s", way, diff)
		}
		if ct := got.header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("%s: Content-Type = %q", way, ct)
		}
	}
}

func TestContentType(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range []struct {
		header http.Header
		detail string // of the 415; empty for an accepted type
	}{
		{http.Header{"Content-Type": {"application/json"}}, ""},
		{http.Header{"Content-Type": {"application/json; charset=utf-8"}}, ""},
		{http.Header{"Content-Type": {"application/json;charset=UTF-8"}}, ""},
		{http.Header{"Content-Type": {"Application/JSON"}}, ""},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, ""},
		{http.Header{"Content-Type": {"application/json; charset=latin1"}}, "the body must be in UTF-8: its Content-Type says charset=latin1"},
		{http.Header{"Content-Type": {"application/json; charset=utf8"}}, "the body must be in UTF-8: its Content-Type says charset=utf8"},
		{http.Header{"Content-Type": {"application/json; charset"}}, "the body must be sent as Content-Type: application/json, not application/json; charset"},
		{http.Header{"Content-Type": {"application/problem+json"}}, "the body must be sent as Content-Type: application/json, not application/problem+json"},
		{http.Header{"Content-Type": {"text/json"}}, "the body must be sent as Content-Type: application/json, not text/json"},
		{http.Header{"Content-Type": {"text/plain"}}, "the body must be sent as Content-Type: application/json, not text/plain"},
		{http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "the body must be sent as Content-Type: application/json, not application/x-www-form-urlencoded"},
		{http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, "the body must be sent as Content-Type: application/json, not multipart/form-data"},
		{http.Header{"Content-Type": {""}}, "the body must be sent as Content-Type: application/json"},
		{http.Header{"Content-Type": {"json"}}, "the body must be sent as Content-Type: application/json, not json"},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, "the body must be sent as it is, without Content-Encoding: gzip"},
		{http.Header{"Content-Type": {"text/plain"}, "Content-Encoding": {"br, gzip"}}, "the body must be sent as it is, without Content-Encoding: br, gzip"},
	} {
		for way, send := range ways {
			got := send(t, b.handler, ask{method: "POST", target: "/things/" + thingID + "/make", key: b.writer, header: c.header,
				body: `{"phone_number":"+14155550100"}`})
			if c.detail == "" {
				if got.status != 200 {
					t.Errorf("%s %v: %d %s", way, c.header, got.status, got.body)
				}
				continue
			}
			if got.status != 415 {
				t.Errorf("%s %v: %d %s", way, c.header, got.status, got.body)
				continue
			}
			if p := got.problem(t); p.Code != "UNSUPPORTED_MEDIA_TYPE" || p.Detail != c.detail {
				t.Errorf("%s %v: %s %q", way, c.header, p.Code, p.Detail)
			}
			want := ""
			if strings.Contains(c.detail, "Content-Encoding") {
				want = "identity" // RFC 9110, section 15.5.16
			}
			if accept := got.header.Get("Accept-Encoding"); accept != want {
				t.Errorf("%s %v: Accept-Encoding %q", way, c.header, accept)
			}
		}
	}
}

func TestBodySize(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	fill := func(n int) string {
		body := good(`"any":""`)
		return strings.Replace(body, `""`, `"`+strings.Repeat("a", n-len(body))+`"`, 1)
	}
	for _, c := range []struct {
		target string
		body   string
		status int
	}{
		{"/things/" + thingID + "/make", fill(64 << 10), 200},
		{"/things/" + thingID + "/make", fill(64<<10 + 1), 413},
		{"/things/" + thingID + "/make", fill(1 << 20), 413},
		{"/things/" + thingID + "/hangup", strings.Repeat("x", 64<<10+1), 400},
		{"/raw", strings.Repeat("r", 100), 200},
		{"/raw", strings.Repeat("r", 101), 413},
	} {
		for way, send := range ways {
			got := send(t, b.handler, ask{method: "POST", target: c.target, key: b.writer, body: c.body})
			if got.status != c.status {
				t.Errorf("%s %s with %d bytes = %d, want %d", way, c.target, len(c.body), got.status, c.status)
			}
			if c.status == 413 && got.problem(t).Code != "BODY_TOO_LARGE" {
				t.Errorf("code of %s", got.body)
			}
		}
	}
}

// TestBodiesThatTakeLong checks that no body of the largest size keeps the edge busy. Naive
// validation takes quadratic time for these bodies. The edge must take about as long for one body
// as for the same content in 16 bodies.
func TestBodiesThatTakeLong(t *testing.T) {
	t.Parallel()
	const parts = 16
	b := newBench(t)
	many := func(item func(i int) string, n int) string {
		items := make([]string, 0, n)
		for i := range n {
			items = append(items, item(i))
		}
		return strings.Join(items, ",")
	}
	for name, c := range map[string]struct {
		body func(n int) string
		most int // the largest n
	}{
		"lists in a list of strings": {func(n int) string {
			return good(`"numbers":[` + many(func(i int) string { return fmt.Sprintf("[%d]", i) }, n) + `]`)
		}, 8000},
		"objects in a list of strings": {func(n int) string {
			return good(`"numbers":[` + many(func(i int) string { return fmt.Sprintf(`{"":%d}`, i) }, n) + `]`)
		}, 5500},
		"lists in a list of objects": {func(n int) string {
			return good(`"parts":[` + many(func(int) string { return "[]" }, n) + `]`)
		}, 21000},
		"equal strings": {func(n int) string {
			return good(`"numbers":[` + many(func(int) string { return `""` }, n) + `]`)
		}, 21000},
		"different strings": {func(n int) string {
			return good(`"numbers":[` + many(func(i int) string { return fmt.Sprintf("%q", fmt.Sprint(i)) }, n) + `]`)
		}, 7500},
		"unknown members": {func(n int) string {
			return good(many(func(i int) string { return fmt.Sprintf(`"%d":1`, i) }, n))
		}, 7000},
		"members of a map": {func(n int) string {
			return good(`"metadata":{` + many(func(i int) string { return fmt.Sprintf(`"%d":0`, i) }, n) + `}`)
		}, 7000},
		"members of a free value": {func(n int) string {
			return good(`"any":{` + many(func(i int) string { return fmt.Sprintf(`"%d":0`, i) }, n) + `}`)
		}, 7000},
		"digits":  {func(n int) string { return good(`"any":` + strings.Repeat("9", n)) }, 60000},
		"zeros":   {func(n int) string { return good(`"speed":0.` + strings.Repeat("0", n) + `1`) }, 60000},
		"escapes": {func(n int) string { return good(`"any":"` + strings.Repeat(`\u0041`, n) + `"`) }, 9000},
	} {
		body, part := c.body(c.most), c.body(c.most/parts)
		if len(body) > 64<<10 {
			t.Fatalf("%s: %d bytes", name, len(body))
		}
		send := func(body string) {
			got := overLambda(t, b.handler, ask{method: "POST", target: "/things/" + thingID + "/make", key: b.writer, body: body})
			if len(got.body) > 100<<10 || got.status != 200 && got.status != 400 {
				t.Errorf("%s: %d with %d bytes", name, got.status, len(got.body))
			}
		}
		f := factor(parts/2, func() { send(body) }, func() {
			for range parts {
				send(part)
			}
		})
		if t.Logf("%s: %.2f", name, f); f > parts/2 { // 16 if it is quadratic
			t.Errorf("%s: a body takes %.1f times as long as %d with as much", name, f, parts)
		}
	}
}

// factor is how many times as long one function takes as another. It compares the shortest of three
// runs of each, and of up to thirty while the factor is above enough. A machine that is busy with
// other work delays some runs, not all.
func factor(enough float64, one, another func()) float64 {
	shortest := [2]time.Duration{math.MaxInt64, math.MaxInt64}
	for n := 0; ; n++ {
		for i, run := range []func(){one, another} {
			began := time.Now()
			run()
			shortest[i] = min(shortest[i], time.Since(began))
		}
		if f := float64(shortest[0]) / float64(shortest[1]); n >= 2 && f <= enough || n == 29 {
			return f
		}
	}
}

// TestRawBody checks that a raw body reaches the operation byte for byte, with any content
// and type.
func TestRawBody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for body, encoded := range map[string]string{
		`{"a":1,"a":null}`: "eyJhIjoxLCJhIjpudWxsfQ==",
		"\xff\x00\r\n":     "/wANCg==",
	} {
		for _, ct := range []string{"application/webhook+json", "application/json", "text/plain"} {
			for way, send := range ways {
				got := send(t, b.handler, ask{method: "POST", target: "/raw", header: http.Header{"Content-Type": {ct}}, body: body})
				if want := fmt.Sprintf("{\"text\":%q}\n", encoded); got.status != 200 || string(got.body) != want {
					t.Errorf("%s %s: %d %s, want %s", way, ct, got.status, got.body, want)
				}
			}
		}
	}
}

// FuzzBody checks that the edge answers every body, and accepts only the members that it documents.
func FuzzBody(f *testing.F) {
	for _, body := range []string{`{"phone_number":"+14155550100"}`, good(`"any":[{"a":[1,"\ud83d\udcde"]}]`), `{"phone_number":"+14155550100","phone_number":"x"}`,
		good(`"metadata":{"a":"b"}`), good(`"ſmall":1`), good(`"count":1e2`), "null", "[", "{\"a\":\"\xff\"}", good(`"reason":null`)} {
		f.Add([]byte(body))
	}
	b := newBench(f)
	fields := []string{"phone_number", "count", "small", "speed", "loud", "kind", "numbers", "part", "parts", "metadata", "any", "reason", "expires_at", "site"}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/things/"+thingID+"/make", strings.NewReader(string(body)))
		r.Header.Set("Authorization", "Bearer "+b.writer)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		b.log.Reset()
		if w.Code == 400 {
			var p struct{ Errors []fault.Field }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || len(p.Errors) == 0 || len(p.Errors) > 20 {
				t.Fatalf("%v, %d errors: %s", err, len(p.Errors), w.Body)
			}
			return
		}
		if w.Code == 413 && len(body) > 64<<10 {
			return
		}
		if w.Code != 200 {
			t.Fatalf("status %d for %q: %s", w.Code, body, w.Body)
		}
		if !utf8.Valid(body) || !json.Valid(body) {
			t.Fatalf("took %q", body)
		}
		names := memberNames(t, body)
		for i, name := range names {
			if !slices.Contains(fields, name) || slices.Contains(names[:i], name) {
				t.Fatalf("took member %q of %q", name, body)
			}
		}
	})
}

// memberNames lists the names of an object's own members, in order.
func memberNames(t *testing.T, object []byte) (names []string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(object)))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return names
}
