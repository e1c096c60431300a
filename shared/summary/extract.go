package summary

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"

	textrank "github.com/DavidBelicza/TextRank/v2"

	"github.com/krosai/telephony/shared/call"
)

// What an extractive summary is made of, and what of a call is read for it.
const (
	keptSentences  = 5
	readSentences  = 2000
	longestSummary = 1000 // bytes of kept sentences, about
	longest        = 400  // bytes of a sentence: what goes on longer has lost its ends
)

// sentence is one of a call, with how much of what matters in the call it says.
type sentence struct {
	role   call.Role
	text   string
	place  int
	weight float64
}

// extract quotes the sentences of a call that matter most, in their order. TextRank
// weighs words by those that stand beside them; a sentence weighs what its words
// do, each once, over the root of their number, or the longest would always win.
// The library's own choice of sentences is not used: in a short text, where most
// pairs of words occur once, it is a different one each time.
func extract(turns []call.Turn) string {
	all := sentences(turns)
	weigh(all)
	kept := slices.Clone(all)
	slices.SortFunc(kept, func(a, b sentence) int { return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.place, b.place)) })
	size := 0
	for i, s := range kept {
		if size += len(s.text); i == keptSentences || size > longestSummary && i > 0 {
			kept = kept[:i]
			break
		}
	}
	slices.SortFunc(kept, func(a, b sentence) int { return cmp.Compare(a.place, b.place) })
	var text strings.Builder
	for i, s := range kept {
		switch {
		case i > 0 && kept[i-1].role == s.role:
			text.WriteByte(' ')
		case s.role == call.RoleAgent:
			text.WriteString("\nAgent: ")
		default:
			text.WriteString("\nCallee: ")
		}
		text.WriteString(s.text)
	}
	return strings.TrimSpace(text.String())
}

// sentences are those of a call: the first and the last thousand of a long one.
func sentences(turns []call.Turn) []sentence {
	var all []sentence
	for _, t := range turns {
		for _, text := range split(t.Content) {
			all = append(all, sentence{role: t.Role, text: text, place: len(all)})
		}
	}
	if len(all) > readSentences {
		all = slices.Delete(all, readSentences/2, len(all)-readSentences/2)
	}
	return all
}

// split cuts a text after each ., ! or ? and its like that space follows, and at
// line ends.
func split(text string) (parts []string) {
	runes := []rune(strings.ToValidUTF8(text, ""))
	start := 0
	cut := func(end int) {
		part := strings.Join(strings.Fields(string(runes[start:end])), " ")
		if len(part) > longest {
			part = strings.TrimSpace(strings.ToValidUTF8(part[:longest], "")) + "…"
		}
		if strings.ContainsFunc(part, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			parts = append(parts, part)
		}
		start = end
	}
	for i, r := range runes {
		last := i+1 == len(runes)
		if last || r == '\n' || strings.ContainsRune("。！？", r) || strings.ContainsRune(".!?…", r) && unicode.IsSpace(runes[i+1]) {
			cut(i + 1)
		}
	}
	return parts
}

// words is how TextRank finds words in one sentence: letters and digits stand
// together, and nothing ends the sentence. With its own rule it panics at text
// that is not UTF-8, and cuts "10.30" in two.
type words struct{}

func (words) IsWordSeparator(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

func (words) IsSentenceSeparator(rune) bool { return false }

// weigh gives each sentence its weight. TextRank numbers sentences in the order
// in which it gets them, and its weights are no numbers when all words weigh the
// same: then each counts as one.
func weigh(all []sentence) {
	rank, language := textrank.NewTextRank(), textrank.NewDefaultLanguage()
	for _, s := range all {
		rank.Populate(s.text, language, words{})
	}
	rank.Ranking(textrank.NewChainAlgorithm())
	weights := make([][]float64, len(all))
	for _, word := range rank.GetRankData().Words {
		weight := float64(word.Weight)
		if math.IsNaN(weight) {
			weight = 1
		}
		for _, id := range word.SentenceIDs {
			weights[id] = append(weights[id], weight)
		}
	}
	for i := range all {
		slices.Sort(weights[i]) // sums of floats depend on their order, and maps have none
		for _, w := range weights[i] {
			all[i].weight += w
		}
		all[i].weight /= math.Sqrt(float64(max(1, len(weights[i]))))
	}
}
