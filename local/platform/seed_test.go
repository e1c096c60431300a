package platform

import (
	"strings"
	"testing"

	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/krosai/telephony/emulator/dynamodb"
	"github.com/krosai/telephony/emulator/template"
)

// TestTablesOfAnOlderVersion checks that tables in .local are reused if they have everything
// needed, and that otherwise the error says what to do.
func TestTablesOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	tmpl, err := template.Open("../../template.yaml", template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		t.Fatal(err)
	}
	emulated, err := dynamodb.Open("", dynamodb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { emulated.Close() })
	db := dynamodbsdk.NewFromConfig(config(emulated.Client(), ""))
	for range 2 {
		if err := createTables(t.Context(), db, tmpl.Tables()); err != nil {
			t.Fatal(err)
		}
	}
	tables := tmpl.Tables()
	for _, table := range tables {
		if len(table.Create.GlobalSecondaryIndexes) == 0 {
			continue
		}
		newer := *table.Create
		newer.GlobalSecondaryIndexes = append(newer.GlobalSecondaryIndexes[:0:0], newer.GlobalSecondaryIndexes...)
		name := "by_fortune"
		newer.GlobalSecondaryIndexes[0].IndexName = &name
		err := createTables(t.Context(), db, []template.Table{{Create: &newer}})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "make clean-local") {
			t.Errorf("%s: %v", *newer.TableName, err)
		}
		return
	}
	t.Error("no table has an index")
}
