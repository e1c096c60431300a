package storetest

import (
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Row is a row as DynamoDB sees it.
type Row = map[string]types.AttributeValue

// table finds a table by the end of its name ("calls").
func (d *Database) table(t testing.TB, name string) *dynamodbsdk.CreateTableInput {
	t.Helper()
	for _, tbl := range d.Template.Tables() {
		if strings.HasSuffix(aws.ToString(tbl.Create.TableName), "-"+name) {
			return tbl.Create
		}
	}
	t.Fatalf("there is no table %s", name)
	return nil
}

// Rows returns the rows of a table ("calls") as the store wrote them: those whose partition key
// is the first of key, and whose sort key is the second of key, if given. The test fails if there
// are none.
func (d *Database) Rows(t testing.TB, table string, key ...string) []Row {
	t.Helper()
	tbl := d.table(t, table)
	q := &dynamodbsdk.QueryInput{TableName: tbl.TableName, KeyConditionExpression: aws.String("#key = :id"),
		ExpressionAttributeNames:  map[string]string{"#key": aws.ToString(tbl.KeySchema[0].AttributeName)},
		ExpressionAttributeValues: Row{":id": &types.AttributeValueMemberS{Value: key[0]}}}
	if len(key) > 1 {
		q.KeyConditionExpression = aws.String("#key = :id AND #sort = :sort")
		q.ExpressionAttributeNames["#sort"] = aws.ToString(tbl.KeySchema[1].AttributeName)
		q.ExpressionAttributeValues[":sort"] = &types.AttributeValueMemberS{Value: key[1]}
	}
	out, err := d.admin.Query(t.Context(), q)
	if err != nil || len(out.Items) == 0 {
		t.Fatalf("%s has %d rows %s, %v", table, len(out.Items), key, err)
	}
	return out.Items
}

// Forget deletes the rows that Rows returns. The product never deletes them.
func (d *Database) Forget(t testing.TB, table string, key ...string) {
	t.Helper()
	tbl := d.table(t, table)
	for _, raw := range d.Rows(t, table, key...) {
		one := Row{}
		for _, k := range tbl.KeySchema {
			one[aws.ToString(k.AttributeName)] = raw[aws.ToString(k.AttributeName)]
		}
		if _, err := d.admin.DeleteItem(t.Context(), &dynamodbsdk.DeleteItemInput{TableName: tbl.TableName, Key: one}); err != nil {
			t.Fatal(err)
		}
	}
}

// Fill writes n copies of a row to a table, many at a time. change turns each copy into its
// own row.
func (d *Database) Fill(t testing.TB, table string, n int, raw Row, change func(i int, raw Row)) {
	t.Helper()
	name := aws.ToString(d.table(t, table).TableName)
	const most = 25 // maximum of one BatchWriteItem
	for from := 0; from < n; from += most {
		var puts []types.WriteRequest
		for i := from; i < min(n, from+most); i++ {
			one := maps.Clone(raw)
			change(i, one)
			puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: one}})
		}
		for todo := map[string][]types.WriteRequest{name: puts}; len(todo) > 0; {
			out, err := d.admin.BatchWriteItem(t.Context(), &dynamodbsdk.BatchWriteItemInput{RequestItems: todo})
			if err != nil {
				t.Fatal(err)
			}
			todo = out.UnprocessedItems
		}
	}
}
