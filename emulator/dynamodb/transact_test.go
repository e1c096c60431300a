package dynamodb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/krosai/telephony/emulator/dynamodb"
)

// count is a transaction that adds one to an item, under a token.
func count(token string, by int) *sdk.TransactWriteItemsInput {
	return &sdk.TransactWriteItemsInput{
		ClientRequestToken: &token,
		TransactItems: []types.TransactWriteItem{{Update: &types.Update{
			TableName: aws.String("calls"), Key: key("a", "b"),
			UpdateExpression: aws.String("ADD n :by"), ExpressionAttributeValues: attributes{":by": num(by), ":also": num(0)},
			ConditionExpression: aws.String("attribute_not_exists(pk) OR n > :also"),
		}}},
	}
}

// TestClientRequestToken: a repeated transaction is done once within ten minutes, also
// across a restart; a token stands for one request; a refused transaction leaves none.
func TestClientRequestToken(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	path := t.TempDir() + "/db"
	opts := dynamodb.Options{Now: func() time.Time { return now }}
	db, err := dynamodb.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(db.Client(), "http://dynamodb")
	createTable(t, c, "calls")
	do := func(in *sdk.TransactWriteItemsInput, want string) {
		t.Helper()
		must[*sdk.TransactWriteItemsOutput](t)(c.TransactWriteItems(t.Context(), in))
		got := must[*sdk.GetItemOutput](t)(c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("calls"), Key: key("a", "b")}))
		if n := got.Item["n"].(*types.AttributeValueMemberN).Value; n != want {
			t.Errorf("n is %s, want %s", n, want)
		}
	}
	do(count("one", 1), "1")
	do(count("one", 1), "1")
	do(count("two", 1), "2")
	now = now.Add(10*time.Minute - time.Nanosecond)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = dynamodb.Open(path, opts); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c = connect(db.Client(), "http://dynamodb")
	do(count("one", 1), "2")
	_, err = c.TransactWriteItems(t.Context(), count("one", 5))
	wantError(t, err, "IdempotentParameterMismatchException", "")
	now = now.Add(time.Nanosecond)
	do(count("one", 1), "3")

	refused := count("three", 1)
	refused.TransactItems[0].Update.ConditionExpression = aws.String("n < :also")
	if _, err = c.TransactWriteItems(t.Context(), refused); err == nil {
		t.Fatal("the condition should fail")
	}
	do(count("three", 1), "4")
	if n, err := db.Sweep(now.Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("Sweep deleted %d items: %v", n, err)
	}
}

func TestCancellationReasons(t *testing.T) {
	t.Parallel()
	_, c := inProcess(t, dynamodb.Options{})
	createTable(t, c, "calls")
	item := with(key("a", "1"), attributes{"n": num(1)})
	must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("calls"), Item: item}))
	name := aws.String("calls")
	_, err := c.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: name, Item: key("a", "2")}},
		{ConditionCheck: &types.ConditionCheck{TableName: name, Key: key("a", "1"), ConditionExpression: aws.String("attribute_not_exists(pk)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
		{Delete: &types.Delete{TableName: name, Key: key("a", "3"), ConditionExpression: aws.String("attribute_exists(pk)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
		{Update: &types.Update{TableName: name, Key: key("a", "4"), UpdateExpression: aws.String("SET x = y")}},
	}})
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) {
		t.Fatal(err)
	}
	want := []types.CancellationReason{
		{Code: aws.String("None")},
		{Code: aws.String("ConditionalCheckFailed"), Message: aws.String("The conditional request failed"), Item: item},
		{Code: aws.String("ConditionalCheckFailed"), Message: aws.String("The conditional request failed")},
		{Code: aws.String("ValidationError"), Message: aws.String("The provided expression refers to an attribute that does not exist in the item")},
	}
	if diff := cmp.Diff(want, canceled.CancellationReasons, sameValues, cmpopts.IgnoreUnexported(types.CancellationReason{})); diff != "" {
		t.Errorf("reasons (-want +got)\n%s", diff)
	}
	if want := "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, ConditionalCheckFailed, ValidationError]"; canceled.ErrorMessage() != want {
		t.Errorf("message %q", canceled.ErrorMessage())
	}
	if n := must[*sdk.ScanOutput](t)(c.Scan(t.Context(), &sdk.ScanInput{TableName: name})).Count; n != 1 {
		t.Errorf("%d items, want 1: the canceled transaction wrote", n)
	}
}

// TestLimits: BatchGetItem stops at 16 MB and says which keys it left, a page of a Query
// at 1 MB; a transaction over 4 MB and an item over 400 KB are refused.
func TestLimits(t *testing.T) {
	t.Parallel()
	_, c := inProcess(t, dynamodb.Options{})
	createTable(t, c, "calls")
	const items = 42
	var keys []map[string]types.AttributeValue
	for i := range items {
		keys = append(keys, key("a", fmt.Sprintf("%02d", i)))
		big := with(key("a", fmt.Sprintf("%02d", i)), attributes{"x": str(strings.Repeat("x", 400<<10-10))})
		must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("calls"), Item: big}))
	}
	got, asked := 0, map[string]types.KeysAndAttributes{"calls": {Keys: keys}}
	var rounds []int
	for len(asked) > 0 {
		out := must[*sdk.BatchGetItemOutput](t)(c.BatchGetItem(t.Context(), &sdk.BatchGetItemInput{RequestItems: asked}))
		got += len(out.Responses["calls"])
		rounds = append(rounds, len(out.Responses["calls"]))
		asked = out.UnprocessedKeys
	}
	if diff := cmp.Diff([]int{40, 2}, rounds); diff != "" || got != items {
		t.Errorf("%d items, in rounds (-want +got)\n%s", got, diff)
	}
	out := must[*sdk.QueryOutput](t)(c.Query(t.Context(), &sdk.QueryInput{TableName: aws.String("calls"), KeyConditionExpression: aws.String("pk = :a"), ExpressionAttributeValues: attributes{":a": str("a")}}))
	if out.Count != 3 || out.LastEvaluatedKey["sk"].(*types.AttributeValueMemberS).Value != "02" {
		t.Errorf("page of %d items, last %v", out.Count, out.LastEvaluatedKey)
	}
	var reads []types.TransactGetItem
	for _, k := range keys[:11] {
		reads = append(reads, types.TransactGetItem{Get: &types.Get{TableName: aws.String("calls"), Key: k}})
	}
	must[*sdk.TransactGetItemsOutput](t)(c.TransactGetItems(t.Context(), &sdk.TransactGetItemsInput{TransactItems: reads[:10]}))
	_, err := c.TransactGetItems(t.Context(), &sdk.TransactGetItemsInput{TransactItems: reads})
	wantError(t, err, "ValidationException", "The aggregate size of the items in the transaction exceeds 4 MB")
	_, err = c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("calls"), Item: with(key("a", "01"), attributes{"x": str(strings.Repeat("x", 400<<10))})})
	wantError(t, err, "ValidationException", "Item size has exceeded the maximum allowed size")
	_, err = c.UpdateItem(t.Context(), &sdk.UpdateItemInput{
		TableName: aws.String("calls"), Key: key("a", "01"), UpdateExpression: aws.String("SET y = :y"), ExpressionAttributeValues: attributes{":y": str("0123456789")},
	})
	wantError(t, err, "ValidationException", "Item size to update has exceeded the maximum allowed size")
}

// TestConsumedCapacity compares units with those of the Developer Guide's rules.
func TestConsumedCapacity(t *testing.T) {
	t.Parallel()
	_, c := inProcess(t, dynamodb.Options{})
	createTable(t, c, "calls")
	name, indexes := aws.String("calls"), types.ReturnConsumedCapacityIndexes
	update := func(expression string, values attributes) *types.ConsumedCapacity {
		return must[*sdk.UpdateItemOutput](t)(c.UpdateItem(t.Context(), &sdk.UpdateItemInput{
			TableName: name, Key: key("a", "b"), UpdateExpression: &expression, ExpressionAttributeValues: values, ReturnConsumedCapacity: indexes,
		})).ConsumedCapacity
	}
	read := func(consistent bool) *types.ConsumedCapacity {
		return must[*sdk.GetItemOutput](t)(c.GetItem(t.Context(), &sdk.GetItemInput{TableName: name, Key: key("a", "b"), ConsistentRead: &consistent, ReturnConsumedCapacity: indexes})).ConsumedCapacity
	}
	kilobytes := func(n int) types.AttributeValue { return str(strings.Repeat("k", n<<10-100)) }
	for _, step := range []struct {
		what         string
		got          *types.ConsumedCapacity
		table, index float64
	}{
		{"read nothing", read(false), 0.5, 0},
		{"first write, not in the index", update("SET z = :z", attributes{":z": kilobytes(5)}), 5, 0},
		{"read 5 KB", read(true), 2, 0},
		{"read 5 KB, eventually consistent", read(false), 1, 0},
		{"enter the index with 3 KB", update("SET g = :g, n = :n, x = :x REMOVE z", attributes{":g": str("G"), ":n": num(1), ":x": kilobytes(3)}), 5, 3},
		{"change what the index does not hold", update("SET z = :z", attributes{":z": num(1)}), 3, 0},
		{"change what the index holds", update("SET x = :x", attributes{":x": kilobytes(2)}), 3, 3},
		{"move in the index", update("SET n = :n", attributes{":n": num(2)}), 2, 4},
		{"leave the index", update("REMOVE g", nil), 2, 2},
	} {
		index := 0.0
		for _, units := range step.got.GlobalSecondaryIndexes {
			index += *units.CapacityUnits
		}
		if *step.got.Table.CapacityUnits != step.table || index != step.index || *step.got.CapacityUnits != step.table+step.index {
			t.Errorf("%s: table %v, index %v, all %v; want %v and %v", step.what, *step.got.Table.CapacityUnits, index, *step.got.CapacityUnits, step.table, step.index)
		}
	}
	out := must[*sdk.TransactWriteItemsOutput](t)(c.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		TransactItems:          []types.TransactWriteItem{{Put: &types.Put{TableName: name, Item: key("a", "c")}}, {Put: &types.Put{TableName: name, Item: key("a", "d")}}},
	}))
	if got := *out.ConsumedCapacity[0].CapacityUnits; got != 4 {
		t.Errorf("transaction of two small items: %v units, want 4", got)
	}
}
