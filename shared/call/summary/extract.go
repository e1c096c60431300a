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

// The limits of an extractive summary.
const (
	keptSentences  = 5
	readSentences  = 2000
	longestSummary = 1000 // bytes of the kept sentences, approximately
	longest        = 400  // bytes of a sentence; longer text has lost its sentence ends
)

// sentence is a sentence of a call. Its weight says how much of the important content it contains.
type sentence struct {
	role   call.Role
	text   string
	place  int
	weight float64
}

// extract quotes the most important sentences of a call, in their order. TextRank weighs a word by
// the words beside it. The weight of a sentence is the sum of its words' weights, each counted
// once, divided by the square root of their number. Without that division the longest sentence
// would always win. The library's own choice of sentences is not used: in a short text, where most
// pairs of words occur once, it differs each time.
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

// sentences are the sentences of a call, or the first and the last thousand of a long call.
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

// split cuts a text at line ends, after each ., !, ? or … that space follows, and after each 。, ！
// or ？.
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

// words tells TextRank how to find words in one sentence: letters and digits belong together, and
// nothing ends the sentence. TextRank's own rule panics at text that is not UTF-8, and cuts "10.30"
// in two.
type words struct{}

func (words) IsWordSeparator(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

func (words) IsSentenceSeparator(rune) bool { return false }

// weigh gives each sentence its weight. TextRank numbers sentences in the order in which it gets
// them. Its weights are not numbers if all words weigh the same. Then each word counts as one.
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
		slices.Sort(weights[i]) // a sum of floats depends on their order, and maps have no order
		for _, w := range weights[i] {
			all[i].weight += w
		}
		all[i].weight /= math.Sqrt(float64(max(1, len(weights[i]))))
	}
}
