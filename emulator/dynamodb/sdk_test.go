package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/krosai/telephony/emulator/dynamodb"
)

type attributes = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(n any) types.AttributeValue    { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }

// sameValues compares attribute values of the SDK, which carry an unexported marker.
var sameValues = cmpopts.IgnoreUnexported(types.AttributeValueMemberS{}, types.AttributeValueMemberN{}, types.AttributeValueMemberL{}, types.AttributeValueMemberM{}, types.AttributeValueMemberSS{})

// connect returns the SDK's client for an HTTP client, at the given address if any.
func connect(client *http.Client, url string) *sdk.Client {
	return sdk.New(sdk.Options{
		Region:           "eu-west-1",
		HTTPClient:       client,
		BaseEndpoint:     aws.String(url),
		RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	})
}

// inProcess opens an empty database and returns it with a client.
func inProcess(t testing.TB, opts dynamodb.Options) (*dynamodb.DB, *sdk.Client) {
	t.Helper()
	db := open(t, opts)
	return db, connect(db.Client(), "http://dynamodb")
}

// createTable makes a table keyed by pk and sk, both strings, with an index by g and n.
func createTable(t testing.TB, c *sdk.Client, name string) {
	t.Helper()
	must[*sdk.CreateTableOutput](t)(c.CreateTable(t.Context(), tableInput(name)))
}

func tableInput(name string) *sdk.CreateTableInput {
	return &sdk.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("g"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("n"), AttributeType: types.ScalarAttributeTypeN},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String("by-g"),
			KeySchema: []types.KeySchemaElement{
				{AttributeName: aws.String("g"), KeyType: types.KeyTypeHash},
				{AttributeName: aws.String("n"), KeyType: types.KeyTypeRange},
			},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"x"}},
		}},
	}
}

func key(pk, sk string) attributes { return attributes{"pk": str(pk), "sk": str(sk)} }

// with returns it with more attributes.
func with(it, more attributes) attributes {
	maps.Copy(it, more)
	return it
}

func must[T any](t testing.TB) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func wantError(t testing.TB, err error, code, message string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("got %v, want %s", err, code)
	}
	if diff := cmp.Diff([]string{code, message}, []string{api.ErrorCode(), api.ErrorMessage()}); diff != "" {
		t.Errorf("error (-want +got)\n%s", diff)
	}
}

// TestOverHTTP runs the SDK against a real server, in-process against the database file.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(open(t, dynamodb.Options{}))
	t.Cleanup(server.Close)
	c := connect(server.Client(), server.URL)
	createTable(t, c, "calls")
	item := attributes{
		"pk": str("é"), "sk": str("1"), "n": num("1e2"),
		"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{num(1), str("")}},
		"m": &types.AttributeValueMemberM{Value: attributes{"a": &types.AttributeValueMemberSS{Value: []string{"b", "a"}}}},
	}
	must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("calls"), Item: item}))
	got := must[*sdk.GetItemOutput](t)(c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("calls"), Key: key("é", "1")}))
	item["n"] = num(100)
	item["m"] = &types.AttributeValueMemberM{Value: attributes{"a": &types.AttributeValueMemberSS{Value: []string{"a", "b"}}}}
	if diff := cmp.Diff(item, got.Item, sameValues); diff != "" {
		t.Errorf("item (-want +got)\n%s", diff)
	}
}

func TestProtocol(t *testing.T) {
	t.Parallel()
	client := open(t, dynamodb.Options{}).Client()
	for name, test := range map[string]struct {
		target, authorization, body string
		status                      int
		want                        string
	}{
		"no signature":      {"DynamoDB_20120810.ListTables", "", `{}`, 400, `{"__type":"com.amazon.coral.service#MissingAuthenticationTokenException","message":"Request is missing Authentication Token"}`},
		"unknown operation": {"DynamoDB_20120810.ListBackups", "x", `{}`, 400, `{"__type":"com.amazon.coral.service#UnknownOperationException","message":"An unknown operation was requested: DynamoDB_20120810.ListBackups"}`},
		"no target":         {"", "x", `{}`, 400, `{"__type":"com.amazon.coral.service#UnknownOperationException","message":"An unknown operation was requested: "}`},
		"unknown member":    {"DynamoDB_20120810.ListTables", "x", `{"Foo":1}`, 400, `{"__type":"com.amazon.coral.validate#ValidationException","message":"not supported by this emulator: member Foo of ListTables"}`},
		"unknown inside":    {"DynamoDB_20120810.CreateTable", "x", `{"TableName":"abc","KeySchema":[{"AttributeName":"a","KeyType":"HASH","X":1}]}`, 400, `{"__type":"com.amazon.coral.validate#ValidationException","message":"not supported by this emulator: member \"X\""}`},
		"local index":       {"DynamoDB_20120810.CreateTable", "x", `{"LocalSecondaryIndexes":[]}`, 400, `{"__type":"com.amazon.coral.validate#ValidationException","message":"not supported by this emulator: member LocalSecondaryIndexes of CreateTable"}`},
		"in a transaction":  {"DynamoDB_20120810.TransactWriteItems", "x", `{"TransactItems":[{"Put":{"TableName":"abc","Key":{}}}]}`, 400, `{"__type":"com.amazon.coral.validate#ValidationException","message":"not supported by this emulator: member Key of Put"}`},
		"no JSON":           {"DynamoDB_20120810.ListTables", "x", `{`, 400, `{"__type":"com.amazon.coral.service#SerializationException","message":"unexpected end of JSON input"}`},
		"two documents":     {"DynamoDB_20120810.ListTables", "x", `{}{}`, 400, `{"__type":"com.amazon.coral.service#SerializationException","message":"invalid character '{' after top-level value"}`},
		"not an object":     {"DynamoDB_20120810.ListTables", "x", `[]`, 400, `{"__type":"com.amazon.coral.service#SerializationException","message":"array cannot be converted to map[string]json.RawMessage for "}`},
		"success":           {"DynamoDB_20120810.ListTables", "x", `{}`, 200, `{"TableNames":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://dynamodb", strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Amz-Target", test.target)
			request.Header.Set("Authorization", test.authorization)
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(body)); diff != "" || response.StatusCode != test.status {
				t.Errorf("status %d (-want +got)\n%s", response.StatusCode, diff)
			}
			if sum := fmt.Sprint(crc32.ChecksumIEEE(body)); response.Header.Get("X-Amz-Crc32") != sum {
				t.Errorf("X-Amz-Crc32 %s, want %s", response.Header.Get("X-Amz-Crc32"), sum)
			}
			if response.Header.Get("X-Amzn-Requestid") == "" || response.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
				t.Errorf("headers %v", response.Header)
			}
		})
	}
}

func TestHook(t *testing.T) {
	t.Parallel()
	var seen []string
	_, c := inProcess(t, dynamodb.Options{Hook: func(op, table string) error {
		seen = append(seen, op+" "+table)
		switch op {
		case "GetItem":
			return &dynamodb.Error{Type: "ProvisionedThroughputExceededException", Message: "slow down"}
		case "PutItem":
			return errors.New("disk on fire")
		}
		return nil
	}})
	createTable(t, c, "calls")
	_, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("calls"), Key: key("a", "b")})
	wantError(t, err, "ProvisionedThroughputExceededException", "slow down")
	_, err = c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("calls"), Item: key("a", "b")})
	wantError(t, err, "InternalServerError", "disk on fire")
	_, err = c.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String("calls"), Item: key("a", "b")}},
		{Put: &types.Put{TableName: aws.String("calls"), Item: key("a", "c")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"CreateTable calls", "GetItem calls", "PutItem calls", "TransactWriteItems calls"}, seen); diff != "" {
		t.Errorf("hook (-want +got)\n%s", diff)
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	_, c := inProcess(t, dynamodb.Options{Hook: func(string, string) error { <-release; return nil }})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := c.ListTables(ctx, &sdk.ListTablesInput{})
	close(release)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	if _, err := c.ListTables(ctx, &sdk.ListTablesInput{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestDescribeTable(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	_, c := inProcess(t, dynamodb.Options{Now: func() time.Time { return created }, Region: "eu-west-1", AccountID: "123456789012"})
	createTable(t, c, "calls")
	for i := range 3 {
		item := with(key("a", fmt.Sprint(i)), attributes{"n": num(i), "x": str("y"), "z": str("zz")})
		if i > 0 {
			item["g"] = str("G")
		}
		must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("calls"), Item: item}))
	}
	got := must[*sdk.DescribeTableOutput](t)(c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("calls")})).Table
	type shown struct {
		Arn, Status, IndexArn         string
		Created                       time.Time
		Items, Bytes, Entries, InSize int64
	}
	ix := got.GlobalSecondaryIndexes[0]
	want := shown{
		Arn: "arn:aws:dynamodb:eu-west-1:123456789012:table/calls", Status: "ACTIVE", Created: created,
		IndexArn: "arn:aws:dynamodb:eu-west-1:123456789012:table/calls/index/by-g",
		// pk, sk, x and z; n takes a byte less for 0; g is in two of three.
		Items: 3, Bytes: 3*(3+3+2+3) + (1 + 1) + 2*(1+2) + 2*2,
		Entries: 2, InSize: 2 * (3 + 3 + 2 + 3 + 2),
	}
	have := shown{*got.TableArn, string(got.TableStatus), *ix.IndexArn, *got.CreationDateTime, *got.ItemCount, *got.TableSizeBytes, *ix.ItemCount, *ix.IndexSizeBytes}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("table (-want +got)\n%s", diff)
	}
}

func TestDeletionProtection(t *testing.T) {
	t.Parallel()
	_, c := inProcess(t, dynamodb.Options{})
	createTable(t, c, "calls")
	protect := func(on bool) {
		must[*sdk.UpdateTableOutput](t)(c.UpdateTable(t.Context(), &sdk.UpdateTableInput{TableName: aws.String("calls"), DeletionProtectionEnabled: &on}))
	}
	protect(true)
	_, err := c.DeleteTable(t.Context(), &sdk.DeleteTableInput{TableName: aws.String("calls")})
	wantError(t, err, "ValidationException", "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	protect(false)
	must[*sdk.DeleteTableOutput](t)(c.DeleteTable(t.Context(), &sdk.DeleteTableInput{TableName: aws.String("calls")}))
	_, err = c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("calls")})
	wantError(t, err, "ResourceNotFoundException", "Requested resource not found: Table: calls not found")
}

func TestSweep(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	db, c := inProcess(t, dynamodb.Options{})
	createTable(t, c, "calls")
	must[*sdk.UpdateTimeToLiveOutput](t)(c.UpdateTimeToLive(t.Context(), &sdk.UpdateTimeToLiveInput{
		TableName:               aws.String("calls"),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ttl"), Enabled: aws.Bool(true)},
	}))
	for sk, ttl := range map[string]types.AttributeValue{
		"at": num(now.Unix()), "before": num(now.Unix() - 1), "after": num(now.Unix() + 1),
		"text": str(fmt.Sprint(now.Unix() - 1)), "ancient": num(now.AddDate(-6, 0, 0).Unix()),
	} {
		item := with(key("a", sk), attributes{"ttl": ttl, "g": str("G"), "n": num(1)})
		must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("calls"), Item: item}))
	}
	if n, err := db.Sweep(now); n != 2 || err != nil {
		t.Fatalf("Sweep deleted %d: %v, want 2", n, err)
	}
	for _, index := range []*string{nil, aws.String("by-g")} {
		var left []string
		for _, it := range must[*sdk.ScanOutput](t)(c.Scan(t.Context(), &sdk.ScanInput{TableName: aws.String("calls"), IndexName: index})).Items {
			left = append(left, it["sk"].(*types.AttributeValueMemberS).Value)
		}
		if diff := cmp.Diff([]string{"after", "ancient", "text"}, left); diff != "" {
			t.Errorf("left (-want +got)\n%s", diff)
		}
	}
}
