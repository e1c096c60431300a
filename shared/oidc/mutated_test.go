package oidc_test

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
)

// mutators change a valid token. other is another valid token.
var mutators = map[string]func(r *rand.Rand, token, other string) string{
	"any byte": func(r *rand.Rand, token, _ string) string {
		b := []byte(token)
		b[r.IntN(len(b))] = byte(r.UintN(256))
		return string(b)
	},
	"a letter of the alphabet": func(r *rand.Rand, token, _ string) string {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
		b := []byte(token)
		b[r.IntN(len(b))] = alphabet[r.IntN(len(alphabet))]
		return string(b)
	},
	"a bit below base64": func(r *rand.Rand, token, _ string) string {
		return inside(r.IntN(3), token, func(b []byte) []byte {
			b[r.IntN(len(b))] ^= 1 << r.UintN(8)
			return b
		})
	},
	"a byte less, more or twice": func(r *rand.Rand, token, _ string) string {
		at := r.IntN(len(token))
		return token[:at] + []string{"", "A", token[at:at+1] + token[at:at+1], "=", "\n", "."}[r.IntN(6)] + token[at+1:]
	},
	"cut off": func(r *rand.Rand, token, _ string) string { return token[:r.IntN(len(token))] },
	"segments swapped": func(r *rand.Rand, token, other string) string {
		from := [][]string{strings.Split(token, "."), strings.Split(other, ".")}
		return from[r.IntN(2)][r.IntN(3)] + "." + from[r.IntN(2)][r.IntN(3)] + "." + from[r.IntN(2)][r.IntN(3)]
	},
	"header rewritten": func(r *rand.Rand, token, _ string) string {
		algs := []string{"none", "HS256", "RS256", "ES256", "EdDSA", "RS512", ""}
		kids := []string{"rsa", "ec", "ed", "enc", "x", ""}
		more := []string{"", `,"typ":"JWT"`, `,"jku":"http://127.0.0.1/"`, `,"crit":[]`, `,"alg":"none"`, `,"x":1`}
		return inside(0, token, func([]byte) []byte {
			return []byte(`{"alg":"` + algs[r.IntN(len(algs))] + `","kid":"` + kids[r.IntN(len(kids))] + `"` + more[r.IntN(len(more))] + `}`)
		})
	},
	"claims rewritten": func(r *rand.Rand, token, _ string) string {
		changes := [][2]string{{`"ada"`, `"eve"`}, {`}`, `,"roles":["admin"]}`}, {`"sub":`, `"sub":"eve","sub":`}, {`,`, `, `}, {`"exp":1`, `"exp":1.`}, {`{`, `{"SUB":"eve",`}}
		change := changes[r.IntN(len(changes))]
		return inside(1, token, func(b []byte) []byte { return []byte(strings.Replace(string(b), change[0], change[1], 1)) })
	},
}

// inside changes the decoded content of one segment of a token.
func inside(segment int, token string, change func([]byte) []byte) string {
	part := strings.Split(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(part[segment])
	if err != nil {
		panic(err)
	}
	part[segment] = b64(change(b))
	return strings.Join(part, ".")
}

func TestMutated(t *testing.T) {
	t.Parallel()
	const each = 2600
	k := keyring()
	i := newIssuer(t)
	good := []string{
		seal(header(), i.claims(), rs256(k.rsa)),
		seal(header("alg", `"ES256"`, "kid", `"ec"`), i.claims("sub", `"bob"`, "roles", `["admin"]`), es256(k.ec)),
		seal(header("alg", `"EdDSA"`, "kid", `"ed"`), i.claims(), eddsa(k.ed)),
		seal(header(), i.claims("sub", `"bob"`), rs256(k.rsa)),
	}
	same := map[string]bool{}
	for _, token := range good {
		same[token] = true
		if _, err := i.verifier.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	tried := 0
	for name, mutate := range mutators {
		r := rand.New(rand.NewPCG(2026, uint64(len(name))))
		for range each {
			token := mutate(r, good[r.IntN(len(good))], good[r.IntN(len(good))])
			if same[token] {
				continue
			}
			tried++
			got, err := i.verifier.Verify(t.Context(), token)
			if refusal(t, name, got, err); t.Failed() {
				t.Fatalf("%s: %q", name, token)
			}
		}
	}
	t.Logf("%d mutated tokens", tried)
	if tried < 20000 {
		t.Errorf("%d mutated tokens, want 20000 at least", tried)
	}
	if n := i.readings.Load(); n != 1 {
		t.Errorf("the keys were read %d times, want once", n)
	}
}

// The verifier accepts the good token only, and no text makes it panic.
func FuzzVerify(f *testing.F) {
	i := newIssuer(f)
	good := seal(header(), i.claims(), rs256(keyring().rsa))
	f.Add(good)
	f.Add(strings.Repeat("e30.", 2) + "e30")
	f.Add("..")
	for _, forged := range forgeries(i) {
		f.Add(forged.token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		got, err := i.verifier.Verify(t.Context(), token)
		if token == good {
			if err != nil || got.UserID != "ada" {
				t.Fatalf("%+v, %v", got, err)
			}
			return
		}
		refusal(t, token, got, err)
	})
}
