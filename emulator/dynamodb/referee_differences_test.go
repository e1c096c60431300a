package dynamodb_test

import (
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// meantDifferences are the differences between the emulator and DynamoDB Local that are
// meant, each with its reason. The first that says so counts.
var meantDifferences = []struct {
	why   string
	meant func(x *exchange) bool
}{
	{"what is not supported is refused, not ignored", func(x *exchange) bool {
		return strings.HasPrefix(x.ours.message(), "not supported by this emulator: ")
	}},
	{"the service checks enumerations, and first", func(x *exchange) bool {
		return strings.Contains(x.ours.message(), "Member must satisfy enum value set")
	}},
	{"DynamoDB Local fails: InternalFailure is no answer", func(x *exchange) bool {
		return x.local.Status == http.StatusInternalServerError && x.ours.Status != http.StatusInternalServerError
	}},
	{"a ClientRequestToken has at least one character (API Reference)", func(x *exchange) bool {
		return x.Request["ClientRequestToken"] == "" && strings.HasPrefix(x.ours.message(), "Value  at 'clientRequestToken'")
	}},
	{"the Update of a transaction needs an UpdateExpression (API Reference)", func(x *exchange) bool {
		return strings.HasSuffix(x.ours.message(), ".member.update.updateExpression' failed to satisfy constraint: Member must not be null")
	}},
	{"an index key of a wrong type is refused in updates too, as in puts", func(x *exchange) bool {
		const mismatch = "Type mismatch for Index Key"
		return x.Op == "UpdateItem" && strings.HasSuffix(x.ours.message(), mismatch) ||
			x.Op == "TransactWriteItems" && slices.ContainsFunc(x.ours.reasons(), func(reason string) bool { return strings.HasSuffix(reason, mismatch) })
	}},
	{"size is a reserved word (Developer Guide, Reserved words)", func(x *exchange) bool {
		return strings.HasSuffix(strings.ToLower(x.ours.message()), "reserved keyword: size")
	}},
	{"of two paths that overlap, the second is named, not the last of the expression", func(x *exchange) bool {
		local, _, overlap := strings.Cut(x.local.message(), ", path two: ")
		ours, _, _ := strings.Cut(x.ours.message(), ", path two: ")
		return overlap && local == ours
	}},
	{"of several wrong actions in an update, any may be reported", func(x *exchange) bool {
		return x.Op == "UpdateItem" && x.actions() > 1 && metInItem(x.local.message()) && metInItem(x.ours.message())
	}},
	{"of several wrong index keys, any may be reported", func(x *exchange) bool {
		return aboutIndexKey(x.local.message()) && aboutIndexKey(x.ours.message())
	}},
	{"of two tables with mistakes in one request, either may be reported", func(x *exchange) bool {
		tables, _ := x.Request["RequestItems"].(object)
		return len(tables) > 1 && x.local.Status == 400 && x.ours.Status == 400
	}},
	{"what an update meets in its item is a reason of the cancelled transaction, one among those of all items (API Reference)", func(x *exchange) bool {
		early := metInItem(x.local.message()) || len(x.local.reasons()) == 1 && metInItem(x.local.reasons()[0])
		return x.Op == "TransactWriteItems" && early && x.ours.Status == 400 && (x.ours.reasons() == nil || slices.ContainsFunc(x.ours.reasons(), metInItem))
	}},
	{"a transaction is checked wholly before its conditions are tested", func(x *exchange) bool {
		return x.Op == "TransactWriteItems" && x.local.errorType() == "TransactionCanceledException" && x.ours.message() == oneItemTwice
	}},
	{"the condition of a ConditionCheck is checked as any other", func(x *exchange) bool {
		return x.Op == "TransactWriteItems" && strings.HasPrefix(x.ours.message(), "Key attributes must be scalars")
	}},
	{"a Get in a transaction is checked as any other, and has no reasons", func(x *exchange) bool {
		return x.Op == "TransactGetItems" && x.ours.errorType() == "ValidationException" && (x.local.errorType() == "TransactionCanceledException" && x.local.message() == x.ours.message() ||
			slices.Contains([]string{
				"Requested resource not found", "Cannot do operations on a non-existent table", "Get Condition for key not in key list",
				"Value null at 'transactItems' failed to satisfy constraint: Member must not be null",
			}, x.local.message()))
	}},
	{"keys that are equal numbers are one key, however they are written", func(x *exchange) bool {
		return x.writesNumbersLong() && (x.ours.message() == "Provided list of item keys contains duplicates" || x.ours.message() == oneItemTwice)
	}},
	{"UPDATED_OLD and UPDATED_NEW return only the parts that were updated (API Reference)", func(x *exchange) bool {
		asked, _ := x.Request["ReturnValues"].(string)
		return strings.HasPrefix(asked, "UPDATED_") && x.answered() && partly(x.ours.Pages[0]["Attributes"], x.local.Pages[0]["Attributes"])
	}},
	{"consumed capacity is told only if it is asked for, of a DeleteItem too", func(x *exchange) bool {
		return x.Op == "DeleteItem" && x.ours.Pages[0]["ConsumedCapacity"] == nil && cmp.Equal(x.local.without("ConsumedCapacity"), x.ours)
	}},
	{"consumed capacity is counted as the Developer Guide says: index entries that do not change cost nothing, reads of nothing something, transactions twice", func(x *exchange) bool {
		return x.Op != "GetItem" && x.ours.Pages[0]["ConsumedCapacity"] != nil && cmp.Equal(x.local.without("ConsumedCapacity"), x.ours.without("ConsumedCapacity"))
	}},
	{"the order of a BatchGetItem's items is not defined (API Reference)", func(x *exchange) bool {
		return x.Op == "BatchGetItem" && x.answered() && cmp.Equal(sortLists(x.local.Pages[0]["Responses"]), sortLists(x.ours.Pages[0]["Responses"]))
	}},
	{"a page that ends with the last item may say so or not (API Reference, LastEvaluatedKey)", func(x *exchange) bool {
		return x.reads() && x.answered() && cmp.Equal(x.local.pagesWithItems(), x.ours.pagesWithItems())
	}},
	{"the order of partitions in a Scan, and of equal keys in an index, is not defined", func(x *exchange) bool {
		return x.reads() && x.answered() && (x.Op == "Scan" || x.Request["IndexName"] != nil) &&
			cmp.Equal(x.local.together(), x.ours.together()) && (x.Op == "Scan" || cmp.Equal(x.local.values(x.sortKey), x.ours.values(x.sortKey)))
	}},
	{"DynamoDB Local ends a Query of an index with a full page although entries of the same keys are left", func(x *exchange) bool {
		if x.Op != "Query" || x.Request["IndexName"] == nil || !x.answered() {
			return false
		}
		local, ours := x.local.values(x.sortKey), x.ours.values(x.sortKey)
		n := len(local)
		limit, _ := x.Request["Limit"].(int)
		full := x.local.Pages[len(x.local.Pages)-1]["ScannedCount"] == float64(limit)
		return full && 0 < n && n < len(ours) && cmp.Equal(local, ours[:n]) && ours[len(ours)-1] == local[n-1]
	}},
	{"the filter of a Scan sees only what the index holds", func(x *exchange) bool {
		return x.Op == "Scan" && x.answered() && x.Request["IndexName"] != nil && x.Request["FilterExpression"] != nil &&
			x.local.together()["Scanned"] == x.ours.together()["Scanned"]
	}},
}

const oneItemTwice = "Transaction request cannot include multiple operations on one item"

// metInItem reports whether a message is about what an update expression meets in its item.
func metInItem(message string) bool {
	return slices.ContainsFunc([]string{
		"The document path provided in the update expression is invalid for update",
		"The provided expression refers to an attribute that does not exist in the item",
		"An operand in the update expression has an incorrect data type",
		"One or more parameter values were invalid: Cannot update attribute ",
		"One or more parameter values are not valid. The update expression attempted to update a secondary index key",
		"Invalid attribute value type",
		"Key attributes must be scalars",
		"Number overflow", "Number underflow", "DynamoDB only supports precision up to 38 digits",
	}, func(beginning string) bool { return strings.HasPrefix(message, beginning) })
}

func aboutIndexKey(message string) bool {
	return strings.Contains(message, "A value specified for a secondary index key is not supported.") || message == "Invalid attribute value type" || strings.HasSuffix(message, "Type mismatch for Index Key")
}

func (x *exchange) answered() bool {
	return x.local.Status == http.StatusOK && x.ours.Status == http.StatusOK
}

var numbers = regexp.MustCompile(`"N":"([^"]*)"`)

// writesNumbersLong reports whether the request has a number such as +1 or 1.0.
func (x *exchange) writesNumbersLong() bool {
	return slices.ContainsFunc(numbers.FindAllStringSubmatch(line(x.Request), -1), func(n []string) bool { return plain(n[1]) != n[1] })
}

func (x *exchange) reads() bool { return x.Op == "Query" || x.Op == "Scan" }

var (
	arguments = regexp.MustCompile(`\([^()]*\)`)
	between   = regexp.MustCompile(`(?i),|\b(SET|REMOVE|ADD|DELETE)\s`)
)

// actions counts the actions of an update expression.
func (x *exchange) actions() int {
	text, _ := x.Request["UpdateExpression"].(string)
	for arguments.MatchString(text) {
		text = arguments.ReplaceAllString(text, "")
	}
	return len(between.FindAllString(text, -1))
}

func (a answered) text(member string) string {
	text, _ := a.Pages[0][member].(string)
	return text
}

func (a answered) message() string   { return a.text("Message") }
func (a answered) errorType() string { return a.text("__type") }

// reasons are the messages of a cancelled transaction, one for each item.
func (a answered) reasons() []string {
	var messages []string
	reasons, _ := a.Pages[0]["CancellationReasons"].([]any)
	for _, reason := range reasons {
		message, _ := reason.(object)["Message"].(string)
		messages = append(messages, message)
	}
	return messages
}

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
const notCompared = " CreationDateTime LastUpdateToPayPerRequestDateTime TableArn IndexArn ProvisionedThroughput IndexSizeBytes "

// comparable brings an answer into the form in which it is compared: numbers by their
// value, for DynamoDB Local returns them in several ways; indexes sorted.
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
			if set, ok := changed[name].([]any); ok && name == "NS" {
				for i, n := range set {
					set[i] = plain(n.(string))
				}
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
// values, which DynamoDB Local shows as objects of Java.
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
