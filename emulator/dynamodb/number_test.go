package dynamodb

import (
	"bytes"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNumberForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.0": "0", "000": "0", "0e99999": "0",
		"1": "1", "+1": "1", "-1": "-1", "007": "7", "1.10": "1.1", ".5": "0.5", "5.": "5", "-.05": "-0.05",
		"1e3": "1000", "1E3": "1000", "1e+3": "1000", "12e-1": "1.2", "0.1e1": "1",
		"1e125":                              "1" + strings.Repeat("0", 125),
		"1e-130":                             "0." + strings.Repeat("0", 129) + "1",
		"-9.99e-2":                           "-0.0999",
		strings.Repeat("9", 38):              strings.Repeat("9", 38),
		strings.Repeat("9", 38) + "0000":     strings.Repeat("9", 38) + "0000",
		"0." + strings.Repeat("0", 60) + "1": "0." + strings.Repeat("0", 60) + "1",
	} {
		n, err := parseNumber(text)
		if err != nil || n.String() != want {
			t.Errorf("%q: %s, %v; want %s", text, n, err, want)
		}
	}
}

func TestNumberRefused(t *testing.T) {
	t.Parallel()
	const (
		noNumber  = "The parameter cannot be converted to a numeric value"
		overflow  = "Number overflow. Attempting to store a number with magnitude larger than supported range"
		underflow = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
		precision = "Attempting to store more than 38 significant digits in a Number"
	)
	for text, want := range map[string]string{
		"": noNumber, " 1": noNumber, "1 ": noNumber, "a": noNumber, "1a": noNumber, "--1": noNumber, "+-1": noNumber, ".": noNumber,
		"e1": noNumber, "1e": noNumber, "1e1.5": noNumber, "1.2.3": noNumber, "0x1": noNumber, "NaN": noNumber, "Infinity": noNumber, "1_0": noNumber,
		"1e126": overflow, "-1e126": overflow, "10e125": overflow, "1e999999": overflow,
		"1e-131": underflow, "0.1e-130": underflow,
		strings.Repeat("9", 39): precision, "1." + strings.Repeat("0", 37) + "1": precision,
	} {
		_, err := parseNumber(text)
		if want == noNumber && text != "" {
			want += ": " + text
		}
		if diff := cmp.Diff(invalid("%s", want).Error(), message(err)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

var numbers = rapid.Custom(func(t *rapid.T) number {
	digits := rapid.StringMatching(`[0-9]{1,38}`).Draw(t, "digits")
	n, err := normal(rapid.Bool().Draw(t, "neg"), digits, rapid.IntRange(minExponent+38, maxExponent).Draw(t, "exp"))
	if err != nil {
		t.Fatal(err)
	}
	return n
})

func (n number) rational() *big.Rat {
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		panic(n.String())
	}
	return r
}

// TestNumberOrder: numbers and their key encodings are in the order of their values, and
// sums are exact.
func TestNumberOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := numbers.Draw(t, "a"), numbers.Draw(t, "b")
		if rapid.Bool().Draw(t, "near") { // differ in sign or a last digit only
			b = number{!a.neg && a.digits != "", a.digits, a.exp}
		}
		want := a.rational().Cmp(b.rational())
		if got := a.compare(b); got != want {
			t.Fatalf("%s compared with %s: %d, want %d", a, b, got, want)
		}
		if got := bytes.Compare(appendNumberKey(nil, a), appendNumberKey(nil, b)); got != want {
			t.Fatalf("keys of %s and %s: %d, want %d", a, b, got, want)
		}
		if parsed(a.String()) != a {
			t.Fatalf("%s does not parse to itself", a)
		}
		sum, err := a.add(b)
		exact := new(big.Rat).Add(a.rational(), b.rational())
		if err == nil && sum.rational().Cmp(exact) != 0 {
			t.Fatalf("%s + %s = %s", a, b, sum)
		}
		if err != nil && len(strings.Trim(strings.Replace(exact.FloatString(130), ".", "", 1), "-0")) <= maxDigits && new(big.Rat).Abs(exact).Cmp(number{false, "1", maxExponent}.rational()) < 0 {
			t.Fatalf("%s + %s refused: %v", a, b, err)
		}
	})
}

// TestTextKeyOrder: encodings of texts are in the order of their bytes, none is the
// beginning of another, and keyPrefix begins exactly those of texts that begin alike.
func TestTextKeyOrder(t *testing.T) {
	t.Parallel()
	texts := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 4), func(b []byte) string { return string(b) })
	rapid.Check(t, func(t *rapid.T) {
		a, b := texts.Draw(t, "a"), texts.Draw(t, "b")
		x, y := appendKey(nil, value{kind: kindB, text: a}), appendKey(nil, value{kind: kindB, text: b})
		if got, want := bytes.Compare(x, y), strings.Compare(a, b); got != want {
			t.Fatalf("keys of %q and %q: %d, want %d", a, b, got, want)
		}
		if a != b && bytes.HasPrefix(x, y) {
			t.Fatalf("key of %q begins with that of %q", a, b)
		}
		span := keySpan{keyPrefix(b), after(keyPrefix(b))}
		if b == "" {
			span = keySpan{}
		}
		if got, want := span.contains(x), strings.HasPrefix(a, b); got != want {
			t.Fatalf("%q in the span of prefix %q: %t, want %t", a, b, got, want)
		}
	})
}

func TestReservedWords(t *testing.T) {
	t.Parallel()
	if words := strings.Fields(reservedWords); len(words) != 573 {
		t.Errorf("%d words, want 573", len(words))
	}
	for word, want := range map[string]bool{"ABORT": true, "abort": true, "Zone": true, "status": true, "user_id": false, "pk": false, "": false, "A": false} {
		if got := reserved(word); got != want {
			t.Errorf("reserved(%q) = %t", word, got)
		}
	}
}
