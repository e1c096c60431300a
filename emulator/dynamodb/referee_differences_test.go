package dynamodb_test

import (
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// meantDifferences are the differences between the emulator and dynalite that are meant, each
// with its reason. The first that says so counts.
var meantDifferences = []struct {
	why   string
	meant func(x *exchange) bool
}{
	{"what is not supported is refused, not ignored", func(x *exchange) bool {
		return strings.HasPrefix(x.ours.message(), "not supported by this emulator: ")
	}},
	{"an error of syntax names the token and what is near it; dynalite's parser lists what it expected", func(x *exchange) bool {
		return strings.Contains(x.theirs.message(), "Syntax error; Expected ")
	}},
	{"a number may begin with +", func(x *exchange) bool {
		return strings.Contains(x.theirs.message(), "cannot be converted to a numeric value: +")
	}},
	{"the name of a table may be an ARN, so that its length is checked later than dynalite does", func(x *exchange) bool {
		return strings.Contains(x.theirs.message(), "Name' failed to satisfy constraint") && x.ours.Status == 400
	}},
	{"several mistakes of one request are told one by one", func(x *exchange) bool {
		return strings.Contains(x.theirs.message(), " validation errors detected: ") && x.ours.Status == 400
	}},
	{"of several mistakes, any may be told first: the table is looked for before expressions are read", func(x *exchange) bool {
		return x.theirs.Status == 400 && x.ours.message() == "Requested resource not found"
	}},
	{"of several mistakes, any may be told first", func(x *exchange) bool {
		return x.theirs.errorType() == "ValidationException" && x.ours.errorType() == "ValidationException" && about(x.theirs.message()) != about(x.ours.message())
	}},
	{"what dynalite leaves unchecked: operands of conditions, what an index does not project, what Select goes with, the keys of indexes in updates", func(x *exchange) bool {
		accepted := x.theirs.message() == "" || x.theirs.errorType() == "ConditionalCheckFailedException"
		return accepted && slices.ContainsFunc(unchecked, func(part string) bool { return strings.Contains(x.ours.message(), part) })
	}},
	{"an empty key is invalid as DynamoDB has said since it allows other values to be empty", func(x *exchange) bool {
		return strings.Contains(x.theirs.message(), "cannot contain an empty ") && strings.Contains(x.ours.message(), "cannot contain an empty ")
	}},
	{"of operands, paths or names that are wrong, any may be named", func(x *exchange) bool {
		theirs, _, _ := strings.Cut(x.theirs.message(), ";")
		ours, _, _ := strings.Cut(x.ours.message(), ";")
		return theirs == ours && (strings.Contains(ours, "distinct") || strings.Contains(ours, "not defined") || strings.Contains(ours, "overlap") || strings.Contains(ours, "conflict"))
	}},
	{"DynamoDB names the types that ADD and DELETE take", func(x *exchange) bool {
		return strings.HasPrefix(x.ours.message(), x.theirs.message()+", typeSet: ALLOWED_FOR_")
	}},
	{"both operands of if_not_exists must be there, the one that is not taken too, as recorded", func(x *exchange) bool {
		text, _ := x.Request["UpdateExpression"].(string)
		return x.theirs.message() == "" && strings.Contains(text, "if_not_exists(") && x.ours.message() == "The provided expression refers to an attribute that does not exist in the item"
	}},
	{"an attribute that is absent compares with nothing, and sets are equal if their members are; to dynalite absent ones are equal", func(x *exchange) bool {
		return comparesPaths(x.Request) && (x.theirs.errorType()+x.ours.errorType() != "" || x.reads() && x.answered())
	}},
	{"UPDATED_OLD and UPDATED_NEW return only the parts that were updated (API Reference)", func(x *exchange) bool {
		asked, _ := x.Request["ReturnValues"].(string)
		return strings.HasPrefix(asked, "UPDATED_") && x.answered() && partly(x.ours.Pages[0]["Attributes"], x.theirs.Pages[0]["Attributes"])
	}},
	{"an update that only removes makes no item", func(x *exchange) bool {
		return x.answered() && onlyTakes(x.operation)
	}},
	{"consumed capacity is counted as the Developer Guide says: index entries that do not change cost nothing, reads of nothing something", func(x *exchange) bool {
		return x.ours.Pages[0]["ConsumedCapacity"] != nil && cmp.Equal(x.theirs.without("ConsumedCapacity"), x.ours.without("ConsumedCapacity"))
	}},
	{"the order of a BatchGetItem's items is not defined (API Reference)", func(x *exchange) bool {
		return x.Op == "BatchGetItem" && x.answered() && cmp.Equal(sortLists(x.theirs.Pages[0]["Responses"]), sortLists(x.ours.Pages[0]["Responses"]))
	}},
	{"a page that ends with the last item may say so or not (API Reference, LastEvaluatedKey)", func(x *exchange) bool {
		return x.reads() && x.answered() && cmp.Equal(x.theirs.pagesWithItems(), x.ours.pagesWithItems())
	}},
	{"the order of partitions in a Scan, and of equal keys in an index, is not defined", func(x *exchange) bool {
		return x.reads() && x.answered() && (x.Op == "Scan" || x.Request["IndexName"] != nil) &&
			cmp.Equal(x.theirs.together(), x.ours.together()) && (x.Op == "Scan" || cmp.Equal(x.theirs.values(x.sortKey), x.ours.values(x.sortKey)))
	}},
	{"the filter of a Scan sees only what the index holds", func(x *exchange) bool {
		return x.Op == "Scan" && x.answered() && x.Request["IndexName"] != nil && x.Request["FilterExpression"] != nil &&
			x.theirs.together()["Scanned"] == x.ours.together()["Scanned"]
	}},
}

// unchecked are parts of the messages of what dynalite accepts and DynamoDB does not.
var unchecked = []string{
	"Incorrect operand type for operator or function", "must be distinct from the remaining operands", "operator requires",
	"Attempting to store more than 38 significant digits", "One or more parameter values were invalid: Secondary index ", "does not project",
	"choosing to get ", "can be used only when Querying using an IndexName", "attempted to update a secondary index key", "a secondary index key is not supported", "Empty attribute name", "Type mismatch for Index Key",
}

// about is what a message is about, by its beginning.
func about(message string) string {
	message = strings.TrimPrefix(message, "One or more parameter values were invalid: ")
	words := strings.Fields(message)
	return strings.Join(words[:min(4, len(words))], " ")
}

// onlyTakes reports whether an operation is an update that only removes.
func onlyTakes(o operation) bool {
	text, _ := o.Request["UpdateExpression"].(string)
	return text != "" && !strings.Contains(strings.ToUpper(text), "SET ") && !strings.Contains(strings.ToUpper(text), "ADD ")
}

var pathsCompared = regexp.MustCompile(`(\)|[^:\w.#]#?[\p{L}_][\w.#\[\]]*) *(<>|<=|>=|=|<|>) *#?[\p{L}_]`)

// comparesPaths reports whether a condition or a filter compares an attribute with another.
func comparesPaths(request object) bool {
	condition, _ := request["ConditionExpression"].(string)
	filter, _ := request["FilterExpression"].(string)
	return pathsCompared.MatchString(" "+condition) || pathsCompared.MatchString(" "+filter)
}

func (x *exchange) answered() bool {
	return x.theirs.Status == http.StatusOK && x.ours.Status == http.StatusOK
}

func (x *exchange) reads() bool { return x.Op == "Query" || x.Op == "Scan" }

func (a answered) text(member string) string {
	text, _ := a.Pages[0][member].(string)
	return text
}

func (a answered) message() string   { return a.text("Message") }
func (a answered) errorType() string { return a.text("__type") }

// without is the answer without a member.
func (a answered) without(member string) answered {
	var pages []object
	for _, page := range a.Pages {
		rest := object{}
		for name, v := range page {
			if name != member {
				rest[name] = v
			}
		}
		pages = append(pages, rest)
	}
	return answered{a.Status, pages}
}

// pagesWithItems leaves out an empty last page.
func (a answered) pagesWithItems() []any {
	var pages []any
	for i, page := range a.Pages {
		if i == 0 || page["ScannedCount"] != 0.0 {
			pages = append(pages, page["Items"], page["Count"], page["ScannedCount"])
		}
	}
	return pages
}

// together counts the items of all pages and lists them sorted.
func (a answered) together() object {
	lines := []string{}
	count, scanned := 0.0, 0.0
	for _, page := range a.Pages {
		count += page["Count"].(float64)
		scanned += page["ScannedCount"].(float64)
		items, _ := page["Items"].([]any)
		for _, it := range items {
			lines = append(lines, line(it))
		}
	}
	slices.Sort(lines)
	return object{"Items": lines, "Count": count, "Scanned": scanned}
}

// values lists what all items have for an attribute, in their order.
func (a answered) values(attribute string) []string {
	var all []string
	for _, page := range a.Pages {
		items, _ := page["Items"].([]any)
		for _, it := range items {
			all = append(all, line(it.(object)[attribute]))
		}
	}
	return all
}

// sortLists sorts the lists in a map of them.
func sortLists(lists any) object {
	sorted := object{}
	for name, list := range lists.(object) {
		lines := []string{}
		for _, it := range list.([]any) {
			lines = append(lines, line(it))
		}
		slices.Sort(lines)
		sorted[name] = lines
	}
	return sorted
}

// partly reports whether part is whole but for what is missing inside of maps and lists.
func partly(part, whole any) bool {
	some, _ := part.(object)
	all, _ := whole.(object)
	for name, v := range all {
		inner := v.(object)
		if inner["M"] == nil && inner["L"] == nil && !cmp.Equal(some[name], v) {
			return false
		}
	}
	return within(part, whole)
}

// within reports whether everything in part is in whole at the same place; elements of
// lists move together.
func within(part, whole any) bool {
	switch part := part.(type) {
	case nil:
		return true
	case object:
		all, _ := whole.(object)
		for name, v := range part {
			if all[name] == nil || !within(v, all[name]) {
				return false
			}
		}
		return true
	case []any:
		all, _ := whole.([]any)
		for _, v := range part {
			at := slices.IndexFunc(all, func(w any) bool { return within(v, w) })
			if at < 0 {
				return false
			}
			all = all[at+1:]
		}
		return true
	}
	return part == whole
}

// notCompared are members of a table's description: what differs each time, what DynamoDB
// Local leaves out or adds for tables on demand, and the size of an index, for which it
// counts whole items where only a part is projected.
const notCompared = " ItemCount TableSizeBytes TableId TableStatus IndexStatus TableThroughputModeSummary DeletionProtectionEnabled CreationDateTime LastUpdateToPayPerRequestDateTime TableArn IndexArn ProvisionedThroughput IndexSizeBytes "

// comparable brings an answer into the form in which it is compared: numbers by their
// value, for dynalite returns them in several ways; indexes sorted.
func comparableForm(v any) any {
	switch v := v.(type) {
	case object:
		changed := object{}
		for name, member := range v {
			text, _ := member.(string)
			switch {
			case strings.Contains(notCompared, " "+name+" "):
			case name == "N":
				changed[name] = plain(text)
			case name == "Message":
				changed[name] = comparableMessage(text)
			default:
				changed[name] = comparableForm(member)
			}
			if set, ok := changed[name].([]any); ok && (name == "SS" || name == "NS" || name == "BS") {
				for i, n := range set {
					set[i] = plain(n.(string))
				}
				slices.SortFunc(set, func(a, b any) int { return strings.Compare(line(a), line(b)) })
			}
			if indexes, ok := changed[name].([]any); ok && name == "GlobalSecondaryIndexes" {
				slices.SortFunc(indexes, func(a, b any) int { return strings.Compare(line(a), line(b)) })
			}
		}
		return changed
	case []any:
		changed := []any{}
		for _, element := range v {
			changed = append(changed, comparableForm(element))
		}
		return changed
	}
	return v
}

// plain writes a number without exponent and needless zeros.
func plain(text string) string {
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(n.FloatString(200), "0"), ".")
}

var (
	shownBinary = regexp.MustCompile(`\{B:[^}]*\}`)
	shownNumber = regexp.MustCompile(`\{N:[^}]*\}`)
	shownSet    = regexp.MustCompile(`(operand type: \{|does not project.*\[|unused in expressions: keys: \{).*[]}]`)
)

// comparableMessage brings the text of an error into the form in which it is compared:
// lists of names sorted, for some are in no order; numbers by their value; without binary
// values, which dynalite shows as objects of Java.
func comparableMessage(text string) string {
	if text == "The conditional request failed." { // of a ConditionCheck only
		return "The conditional request failed"
	}
	text = shownBinary.ReplaceAllString(text, "{B}")
	text = shownNumber.ReplaceAllStringFunc(text, func(n string) string { return plain(strings.Trim(n, "{N:}")) })
	return shownSet.ReplaceAllStringFunc(text, func(list string) string {
		names := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" ,[]{}", r) })
		slices.Sort(names)
		return strings.Join(names, " ")
	})
}
