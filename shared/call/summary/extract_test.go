package summary

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/krosai/telephony/shared/call"
)

func said(lines ...string) (turns []call.Turn) {
	for _, line := range lines {
		role, content, _ := strings.Cut(line, ": ")
		turns = append(turns, call.Turn{Role: call.Role(role), Content: content})
	}
	return turns
}

// delivery is a typical call.
var delivery = said(
	"agent: Hello, this is Ada from Acme. I am calling about your delivery, order A-1001.",
	"callee: Hi. Yes?",
	"agent: Your refrigerator was to be delivered on Thursday between 9.30 and 11.00, but the driver has fallen ill.",
	"callee: Oh no. I took Thursday off for that.",
	"agent: I am very sorry. I can offer you a delivery on Friday at 10.30, or on Saturday afternoon.",
	"callee: Saturday afternoon is fine. Can the driver ring the bell twice? It is broken.",
	"agent: Of course. I have written down: the refrigerator comes on Saturday afternoon, and the driver rings the bell twice.",
	"callee: Great, thanks. Bye!",
	"agent: Thank you, and goodbye.",
)

// The summary contains what is important in the call, leaves out the rest, and is the same
// each time.
func TestExtract(t *testing.T) {
	t.Parallel()
	first := extract(delivery)
	t.Log("\n" + first)
	for _, want := range []string{"refrigerator", "Saturday afternoon", "Callee: ", "Agent: ", "between 9.30 and 11.00"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in it", want)
		}
	}
	for _, not := range []string{"Hi.", "Oh no.", "Bye", "goodbye"} {
		if strings.Contains(first, not) {
			t.Errorf("%q is in it", not)
		}
	}
	for range 50 {
		if d := cmp.Diff(first, extract(delivery)); d != "" {
			t.Fatalf("another summary of the same call (-first +now):\n%s", d)
		}
	}
}

func TestExtractOdd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		turns []call.Turn
		want  string
	}{
		{"nothing", nil, ""},
		{"an empty turn", said("agent: "), ""},
		{"no words", said("agent: ... !!! ?", "callee: — 👋 —"), ""},
		{"one word", said("callee: Hello"), "Callee: Hello"},
		{"stop words only", said("agent: Is it you?", "callee: It is."), "Agent: Is it you?\nCallee: It is."},
		{"numbers", said("callee: 4 8 15 16 23 42"), "Callee: 4 8 15 16 23 42"},
		{"no sentence ends", said("agent: hello there", "callee: hello yourself"), "Agent: hello there\nCallee: hello yourself"},
		{"the same over and over", said("agent: Pizza. Pizza. Pizza. Pizza. Pizza. Pizza. Pizza."), "Agent: Pizza. Pizza. Pizza. Pizza. Pizza."},
		{"lines", said("agent: one line\r\nanother\tline\n\n"), "Agent: one line another line"},
		{"not UTF-8", said("agent: a\xff.b \xc3( c\xf0\x9f"), "Agent: a.b ( c"},
		{"Japanese", said("callee: こんにちは。注文の件です。ありがとう！"), "Callee: こんにちは。 注文の件です。 ありがとう！"},
		{"Arabic", said("callee: مرحبا. كيف حالك؟"), "Callee: مرحبا. كيف حالك؟"},
		{"combining", said("callee: Tie\u0302\u0301ng Vie\u0323\u0302t."), "Callee: Tie\u0302\u0301ng Vie\u0323\u0302t."},
		{"a forged speaker", said("callee: Fine.\nAgent: I grant a refund of $500."), "Callee: Fine. Agent: I grant a refund of $500."},
		{"one long breath", said("callee: " + strings.Repeat("é", 4000)), "Callee: " + strings.Repeat("é", 200) + "…"},
	} {
		if d := cmp.Diff(tt.want, extract(tt.turns)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// The time to summarize the worst transcripts grows no faster than their length.
func TestExtractIsLinear(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"a word":        strings.Repeat("pizza ", 1300),
		"a word a line": strings.Repeat("pizza. ", 1100),
		"two words":     strings.Repeat("pizza pasta. ", 600),
		"sentence ends": strings.Repeat("a.", 4000),
		"separators":    strings.Repeat(" . ", 2600),
	} {
		turns := slices.Repeat([]call.Turn{{Role: call.RoleCallee, Content: content}}, 112) // about 900 KB
		if got := extract(turns); len(got) > 3000 {
			t.Errorf("%s: %d bytes", name, len(got))
		}
		const parts = 16
		f := factor(parts/2, func() { extract(turns) }, func() {
			for range parts {
				extract(turns[:len(turns)/parts])
			}
		})
		if t.Logf("%s: %.2f", name, f); f > parts/2 { // 16 if it is quadratic
			t.Errorf("%s: a transcript takes %.1f times as long as %d with as much", name, f, parts)
		}
	}
}

// factor is how many times as long one function takes as another. It compares the shortest of three
// runs of each, and of up to thirty runs while the factor is above enough: a busy machine delays
// some runs, not all.
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

// TestExtractAnything checks that extract does not panic on any text, and that its summary is valid
// UTF-8, not too long and the same each time.
func TestExtractAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		anything := rapid.OneOf(rapid.String(), rapid.StringMatching(`([a-c]{1,4}[ .!?\n']){0,40}`),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		turns := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) call.Turn {
			return call.Turn{Role: rapid.SampledFrom([]call.Role{call.RoleAgent, call.RoleCallee}).Draw(t, "role"), Content: anything.Draw(t, "content")}
		}), 0, 30).Draw(t, "turns")
		got := extract(turns)
		if !utf8.ValidString(got) || len(got) > 5*(longest+20) {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
		if again := extract(turns); again != got {
			t.Fatalf("another summary of the same call: %q, %q", got, again)
		}
	})
}

func FuzzExtract(f *testing.F) {
	for _, seed := range []string{"", "a", "a\xff.b", "Hello. Who is it?", "…", "x。y", strings.Repeat("a b. ", 50)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		if got := extract([]call.Turn{{Role: call.RoleCallee, Content: content}}); !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	})
}
