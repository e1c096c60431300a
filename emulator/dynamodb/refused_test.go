package dynamodb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/krosai/telephony/emulator/dynamodb"
)

// refused lists what the API Reference has and the emulator has not, by operation. Each
// member is refused by its name; an operation without members is not known at all.
var refused = map[string]string{
	"CreateTable":    "LocalSecondaryIndexes ProvisionedThroughput OnDemandThroughput WarmThroughput ResourcePolicy",
	"UpdateTable":    "AttributeDefinitions BillingMode GlobalSecondaryIndexUpdates ProvisionedThroughput OnDemandThroughput WarmThroughput ReplicaUpdates SSESpecification StreamSpecification TableClass",
	"GetItem":        "AttributesToGet",
	"PutItem":        "Expected ConditionalOperator",
	"UpdateItem":     "AttributeUpdates Expected ConditionalOperator",
	"DeleteItem":     "Expected ConditionalOperator",
	"Query":          "AttributesToGet KeyConditions QueryFilter ConditionalOperator",
	"Scan":           "AttributesToGet ScanFilter ConditionalOperator",
	"BatchGetItem":   "AttributesToGet",
	"BatchWriteItem": "Foo", "TransactWriteItems": "Foo", "TransactGetItems": "Foo",

	"ExecuteStatement": "", "BatchExecuteStatement": "", "ExecuteTransaction": "",
	"CreateBackup": "", "RestoreTableFromBackup": "", "DescribeContinuousBackups": "", "UpdateContinuousBackups": "", "ExportTableToPointInTime": "", "ImportTable": "",
	"CreateGlobalTable": "", "UpdateGlobalTable": "", "TagResource": "", "UntagResource": "", "ListTagsOfResource": "", "DescribeLimits": "", "DescribeEndpoints": "",
}

func TestRefused(t *testing.T) {
	t.Parallel()
	client := open(t, dynamodb.Options{}).Client()
	ask := func(op, body, wantType, want string) {
		t.Helper()
		status, answer := send(t, client, "http://dynamodb.local", op, []byte(body))
		if got := answer.(object); status != 400 || got["__type"] != wantType || got["Message"] != want {
			t.Errorf("%s %s: %d %v, want %s: %s", op, body, status, got, wantType, want)
		}
	}
	for op, members := range refused {
		if members == "" {
			ask(op, "{}", "UnknownOperationException", "An unknown operation was requested: DynamoDB_20120810."+op)
		}
		for member := range strings.FieldsSeq(members) {
			ask(op, fmt.Sprintf(`{%q:1}`, member), "ValidationException", fmt.Sprintf("not supported by this emulator: member %s of %s", member, op))
		}
	}
	ask("BatchGetItem", `{"RequestItems":{"abc":{"Keys":[],"AttributesToGet":[]}}}`, "ValidationException", `not supported by this emulator: member "AttributesToGet"`)
	ask("TransactGetItems", `{"TransactItems":[{"Get":{"ConsistentRead":true}}]}`, "ValidationException", "not supported by this emulator: member ConsistentRead of Get")
	ask("TransactWriteItems", `{"TransactItems":[{"Update":{"ReturnValues":"NONE"}}]}`, "ValidationException", "not supported by this emulator: member ReturnValues of Update")
	ask("CreateTable", `{"TableName":"abc","AttributeDefinitions":[],"BillingMode":"PROVISIONED"}`, "ValidationException", "not supported by this emulator: BillingMode PROVISIONED")
}
