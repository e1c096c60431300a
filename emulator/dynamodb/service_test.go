package dynamodb_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/dynamodb"
)

// TestServiceAnswers holds the emulator to what DynamoDB answers where other stand-ins for it
// answer otherwise. The rows run one after the other.
func TestServiceAnswers(t *testing.T) {
	t.Parallel()
	client := open(t, dynamodb.Options{}).Client()
	const (
		invalid = "ValidationException"
		none    = "ResourceNotFoundException"
		keyed   = `"TableName":"abc","Key":{"k":{"S":"a"}}`
	)
	deep := func(levels int) string { return "a" + strings.Repeat(".b", levels-1) }
	for _, c := range []struct {
		name, op, request string
		errorType, want   string // of an error, its message; else the answer
	}{
		{name: "a table", op: "CreateTable", request: `{"TableName":"abc","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}`},

		// An update makes an item unless all it does is to remove.
		{name: "REMOVE", op: "UpdateItem", request: `{` + keyed + `,"UpdateExpression":"REMOVE x","ReturnValues":"ALL_NEW"}`, want: `{}`},
		{name: "REMOVE and DELETE", op: "UpdateItem", request: `{` + keyed + `,"UpdateExpression":"REMOVE x DELETE y :v","ExpressionAttributeValues":{":v":{"SS":["a"]}}}`, want: `{}`},
		{name: "has made nothing", op: "GetItem", request: `{` + keyed + `}`, want: `{}`},
		{name: "REMOVE in a transaction", op: "TransactWriteItems", request: `{"TransactItems":[{"Update":{` + keyed + `,"UpdateExpression":"REMOVE x"}}]}`, want: `{}`},
		{name: "has made nothing either", op: "Scan", request: `{"TableName":"abc"}`, want: `{"Count":0,"Items":[],"ScannedCount":0}`},
		{name: "no action", op: "UpdateItem", request: `{` + keyed + `}`, want: `{}`},
		{name: "has made an item", op: "GetItem", request: `{` + keyed + `}`, want: `{"Item":{"k":{"S":"a"}}}`},
		{name: "REMOVE of what is there", op: "UpdateItem", request: `{` + keyed + `,"UpdateExpression":"REMOVE x","ReturnValues":"ALL_NEW"}`, want: `{"Attributes":{"k":{"S":"a"}}}`},

		// A document path has at most 32 levels.
		{name: "a path of 32 levels", op: "GetItem", request: `{` + keyed + `,"ProjectionExpression":"` + deep(32) + `"}`, want: `{"Item":{}}`},
		{name: "a projection of 33", op: "GetItem", request: `{` + keyed + `,"ProjectionExpression":"` + deep(33) + `"}`, errorType: invalid, want: "Invalid ProjectionExpression: The document path has too many nesting levels; nesting levels: 33"},
		{name: "a condition of 33", op: "DeleteItem", request: `{` + keyed + `,"ConditionExpression":"attribute_exists(` + deep(33) + `)"}`, errorType: invalid, want: "Invalid ConditionExpression: The document path has too many nesting levels; nesting levels: 33"},
		{name: "an update of 33", op: "UpdateItem", request: `{` + keyed + `,"UpdateExpression":"REMOVE ` + deep(33) + `"}`, errorType: invalid, want: "Invalid UpdateExpression: The document path has too many nesting levels; nesting levels: 33"},

		// Empty is not absent.
		{name: "an empty Select", op: "Scan", request: `{"TableName":"abc","Select":""}`, errorType: invalid, want: "1 validation error detected: Value '' at 'select' failed to satisfy constraint: Member must satisfy enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]"},
		{name: "an empty ReturnConsumedCapacity", op: "GetItem", request: `{` + keyed + `,"ReturnConsumedCapacity":""}`, errorType: invalid, want: "1 validation error detected: Value '' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]"},
		{name: "an empty ReturnItemCollectionMetrics", op: "PutItem", request: `{"TableName":"abc","Item":{"k":{"S":"a"}},"ReturnItemCollectionMetrics":""}`, errorType: invalid, want: "1 validation error detected: Value '' at 'returnItemCollectionMetrics' failed to satisfy constraint: Member must satisfy enum value set: [SIZE, NONE]"},

		// The texts of errors.
		{name: "no such table", op: "GetItem", request: `{"TableName":"nope","Key":{"k":{"S":"a"}}}`, errorType: none, want: "Requested resource not found"},
		{name: "no such table to describe", op: "DescribeTable", request: `{"TableName":"nope"}`, errorType: none, want: "Requested resource not found: Table: nope not found"},
		{name: "no key", op: "GetItem", request: `{"TableName":"abc"}`, errorType: invalid, want: "1 validation error detected: Value null at 'key' failed to satisfy constraint: Member must not be null"},
		{name: "another key", op: "GetItem", request: `{"TableName":"abc","Key":{"x":{"S":"a"}}}`, errorType: invalid, want: "The provided key element does not match the schema"},
		{name: "a key of another type", op: "GetItem", request: `{"TableName":"abc","Key":{"k":{"N":"1"}}}`, errorType: invalid, want: "The provided key element does not match the schema"},
		{name: "an item without its key", op: "PutItem", request: `{"TableName":"abc","Item":{"x":{"S":"a"}}}`, errorType: invalid, want: "One or more parameter values were invalid: Missing the key k in the item"},
		{name: "an item with a key of another type", op: "PutItem", request: `{"TableName":"abc","Item":{"k":{"L":[]}}}`, errorType: invalid, want: "One or more parameter values were invalid: Type mismatch for key k expected: S actual: L"},
		{name: "values that a put does not return", op: "PutItem", request: `{"TableName":"abc","Item":{"k":{"S":"a"}},"ReturnValues":"ALL_NEW"}`, errorType: invalid, want: "ReturnValues can only be ALL_OLD or NONE"},
		{name: "a query without its key", op: "Query", request: `{"TableName":"abc","KeyConditionExpression":"x = :v","ExpressionAttributeValues":{":v":{"S":"a"}}}`, errorType: invalid, want: "Query condition missed key schema element: k"},
		{name: "no number", op: "PutItem", request: `{"TableName":"abc","Item":{"k":{"S":"a"},"n":{"N":"x"}}}`, errorType: invalid, want: "The parameter cannot be converted to a numeric value: x"},
		{name: "39 digits", op: "PutItem", request: `{"TableName":"abc","Item":{"k":{"S":"a"},"n":{"N":"` + strings.Repeat("1", 39) + `"}}}`, errorType: invalid, want: "Attempting to store more than 38 significant digits in a Number"},
		{name: "a limit of nothing", op: "Scan", request: `{"TableName":"abc","Limit":0}`, errorType: invalid, want: "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
	} {
		_, answer := send(t, client, "http://dynamodb.local", c.op, []byte(c.request))
		got := answer.(object)
		if c.errorType != "" {
			if diff := cmp.Diff(object{"__type": c.errorType, "Message": c.want}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
		} else if c.want != "" && c.want != line(got) {
			t.Errorf("%s: %s, want %s", c.name, line(got), c.want)
		}
	}
}
