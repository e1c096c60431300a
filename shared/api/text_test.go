package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHiddenCharacters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for r, taken := range map[rune]bool{
		0: false, 1: false, 7: false, '\b': false, '\t': true, '\n': true, '\v': false, '\r': false, 0x1b: false, ' ': true, 0x7f: false,
		0x80: false, 0x85: false, 0x9b: false, 0x9f: false, 0xa0: true, 0xad: true, 0x61b: true, 0x61c: false, 0x200b: true, 0x200d: true,
		0x200e: false, 0x200f: false, 0x2010: true, 0x2028: true, 0x2029: true, 0x202a: false, 0x202e: false, 0x202f: true,
		0x2065: true, 0x2066: false, 0x2069: false, 0x206a: true, 0xfeff: true, 0x1f600: true,
	} {
		text, err := json.Marshal("a" + string(r) + "b")
		if err != nil {
			t.Fatal(err)
		}
		for field, body := range map[string]string{
			"metadata.order": good(`"metadata":{"order":` + string(text) + `}`),
			"metadata":       good(`"metadata":{` + string(text) + `:"x"}`),
		} {
			got := overLambda(t, b.handler, ask{method: "POST", target: "/things/" + thingID + "/make", key: b.writer, body: body})
			named := strings.Contains(string(got.body), fmt.Sprintf("%q", field)) && strings.Contains(string(got.body), "control characters")
			if got.status/100 == 2 != taken || got.status == 400 != named || !utf8.Valid(got.body) {
				t.Errorf("U+%04X in %s: %d %s", r, field, got.status, got.body)
			}
		}
	}
}
