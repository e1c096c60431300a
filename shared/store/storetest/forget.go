package storetest

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Forget deletes every row whose partition key is id from a table ("calls"), as
// the product never does.
func (d *Database) Forget(t testing.TB, table, id string) {
	t.Helper()
	for _, tbl := range d.tables {
		if !strings.HasSuffix(aws.ToString(tbl.Create.TableName), "-"+table) {
			continue
		}
		keys := tbl.Create.KeySchema
		out, err := d.admin.Query(t.Context(), &dynamodbsdk.QueryInput{TableName: tbl.Create.TableName, KeyConditionExpression: aws.String("#key = :id"),
			ExpressionAttributeNames:  map[string]string{"#key": aws.ToString(keys[0].AttributeName)},
			ExpressionAttributeValues: map[string]types.AttributeValue{":id": &types.AttributeValueMemberS{Value: id}}})
		if err != nil || len(out.Items) == 0 {
			t.Fatalf("%s has %d rows %s to forget, %v", table, len(out.Items), id, err)
		}
		for _, row := range out.Items {
			key := map[string]types.AttributeValue{}
			for _, k := range keys {
				key[aws.ToString(k.AttributeName)] = row[aws.ToString(k.AttributeName)]
			}
			if _, err := d.admin.DeleteItem(t.Context(), &dynamodbsdk.DeleteItemInput{TableName: tbl.Create.TableName, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	t.Fatalf("there is no table %s", table)
}
