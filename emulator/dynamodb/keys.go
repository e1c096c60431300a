package dynamodb

import "bytes"

// Keys are stored so that the byte order of the encoding is DynamoDB's sort order:
// strings and binary by unsigned bytes, numbers by value. Every encoding ends
// itself, so that encodings can be joined and a partition is a prefix.

// appendKey appends the encoding of a key value (kind S, N or B) to dst.
func appendKey(dst []byte, v value) []byte {
	if v.kind == kindN {
		return appendNumberKey(dst, v.number())
	}
	for i := range len(v.text) {
		dst = append(dst, v.text[i])
		if v.text[i] == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 0)
}

// appendNumberKey writes a sign byte, the exponent (two bytes) and the digits,
// ended by a byte below any digit; below zero all but the sign is inverted.
func appendNumberKey(dst []byte, n number) []byte {
	if n.digits == "" {
		return append(dst, 1)
	}
	biased := n.exp - minExponent
	start := len(dst) + 1
	dst = append(dst, 2, byte(biased>>8), byte(biased))
	dst = append(dst, n.digits...)
	dst = append(dst, 0)
	if n.neg {
		dst[start-1] = 0
		for i := start; i < len(dst); i++ {
			dst[i] ^= 0xff
		}
	}
	return dst
}

// keyPrefix is the beginning that the encodings of all strings or binaries
// starting with text have in common.
func keyPrefix(text string) []byte {
	return bytes.TrimSuffix(appendKey(nil, value{kind: kindS, text: text}), []byte{0, 0})
}

// after returns the smallest key greater than every key that begins with prefix,
// or nil if no key is greater.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
