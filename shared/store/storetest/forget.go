package storetest

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Forget deletes rows from a table ("calls"), as the product never does: those
// whose partition key is the first of key, and whose sort key is the second if
// there is one.
func (d *Database) Forget(t testing.TB, table string, key ...string) {
	t.Helper()
	for _, tbl := range d.tables {
		if !strings.HasSuffix(aws.ToString(tbl.Create.TableName), "-"+table) {
			continue
		}
		keys := tbl.Create.KeySchema
		q := &dynamodbsdk.QueryInput{TableName: tbl.Create.TableName, KeyConditionExpression: aws.String("#key = :id"),
			ExpressionAttributeNames:  map[string]string{"#key": aws.ToString(keys[0].AttributeName)},
			ExpressionAttributeValues: map[string]types.AttributeValue{":id": &types.AttributeValueMemberS{Value: key[0]}}}
		if len(key) > 1 {
			q.KeyConditionExpression = aws.String("#key = :id AND #sort = :sort")
			q.ExpressionAttributeNames["#sort"] = aws.ToString(keys[1].AttributeName)
			q.ExpressionAttributeValues[":sort"] = &types.AttributeValueMemberS{Value: key[1]}
		}
		out, err := d.admin.Query(t.Context(), q)
		if err != nil || len(out.Items) == 0 {
			t.Fatalf("%s has %d rows %s to forget, %v", table, len(out.Items), key, err)
		}
		for _, row := range out.Items {
			one := map[string]types.AttributeValue{}
			for _, k := range keys {
				one[aws.ToString(k.AttributeName)] = row[aws.ToString(k.AttributeName)]
			}
			if _, err := d.admin.DeleteItem(t.Context(), &dynamodbsdk.DeleteItemInput{TableName: tbl.Create.TableName, Key: one}); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	t.Fatalf("there is no table %s", table)
}
