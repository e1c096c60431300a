package dynamodb

import (
	"math/big"
	"strconv"
	"strings"
)

// Limits of the Number type (Developer Guide, "Supported data types": up to 38
// digits of precision, magnitude 1E-130 to 9.99…E+125).
const (
	maxDigits   = 38
	maxExponent = 126  // 0.d… × 10^126 is below 1E+126
	minExponent = -129 // 0.1 × 10^-129 is 1E-130
)

// number is an exact decimal: ±0.digits × 10^exp. digits has neither leading nor
// trailing zeros; zero has no digits, no sign and exp 0, so equal numbers are
// equal structs.
type number struct {
	neg    bool
	digits string
	exp    int
}

// parseNumber reads what DynamoDB accepts in "N". It fails with the
// ValidationException that the service answers.
func parseNumber(text string) (number, error) {
	rest, neg := text, false
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		neg, rest = rest[0] == '-', rest[1:]
	}
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(rest), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exp := 0
	if hasExponent {
		var err error
		if exp, err = strconv.Atoi(exponent); err != nil {
			return number{}, notNumeric(text)
		}
	}
	if whole+fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return number{}, notNumeric(text)
	}
	return normal(neg, whole+fraction, exp+len(whole))
}

func notNumeric(text string) *Error {
	if text == "" {
		return invalid("The parameter cannot be converted to a numeric value")
	}
	return invalid("The parameter cannot be converted to a numeric value: %s", text)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// normal builds the number ±0.digits × 10^exp and checks the limits.
func normal(neg bool, digits string, exp int) (number, error) {
	trimmed := strings.TrimLeft(digits, "0")
	exp -= len(digits) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, "0")
	switch {
	case trimmed == "":
		return number{}, nil
	case len(trimmed) > maxDigits:
		return number{}, invalid("Attempting to store more than 38 significant digits in a Number")
	case exp > maxExponent:
		return number{}, invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case exp < minExponent:
		return number{}, invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return number{neg, trimmed, exp}, nil
}

// String is the form in which DynamoDB returns the number: plain decimal, no
// exponent, no needless zeros.
func (n number) String() string {
	if n.digits == "" {
		return "0"
	}
	sign := ""
	if n.neg {
		sign = "-"
	}
	switch {
	case n.exp <= 0:
		return sign + "0." + strings.Repeat("0", -n.exp) + n.digits
	case n.exp >= len(n.digits):
		return sign + n.digits + strings.Repeat("0", n.exp-len(n.digits))
	}
	return sign + n.digits[:n.exp] + "." + n.digits[n.exp:]
}

// compare orders numbers by value: -1, 0 or 1.
func (n number) compare(o number) int {
	if n.sign() != o.sign() {
		return cmpInt(n.sign(), o.sign())
	}
	if n.exp != o.exp {
		return n.sign() * cmpInt(n.exp, o.exp)
	}
	return n.sign() * strings.Compare(n.digits, o.digits)
}

func (n number) sign() int {
	switch {
	case n.digits == "":
		return 0
	case n.neg:
		return -1
	}
	return 1
}

func cmpInt(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// add returns n+o exactly, or the ValidationException for a result outside the limits.
func (n number) add(o number) (number, error) {
	scale := min(n.exp-len(n.digits), o.exp-len(o.digits))
	sum := new(big.Int).Add(n.scaled(scale), o.scaled(scale))
	digits := new(big.Int).Abs(sum).String()
	return normal(sum.Sign() < 0, digits, len(digits)+scale)
}

func (n number) negated() number {
	n.neg = !n.neg && n.digits != ""
	return n
}

// scaled returns n / 10^scale, which is whole for every scale add chooses.
func (n number) scaled(scale int) *big.Int {
	if n.digits == "" {
		return new(big.Int)
	}
	whole, _ := new(big.Int).SetString(n.digits+strings.Repeat("0", n.exp-len(n.digits)-scale), 10)
	if n.neg {
		whole.Neg(whole)
	}
	return whole
}
