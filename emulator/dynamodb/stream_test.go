package dynamodb_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/dynamodb"
)

// streams returns the SDK's client of DynamoDB Streams.
func streams(client *http.Client) *dynamodbstreams.Client {
	return dynamodbstreams.New(dynamodbstreams.Options{
		Region: "eu-west-1", HTTPClient: client, BaseEndpoint: aws.String("http://dynamodb"), RetryMaxAttempts: 1,
		Credentials: connect(client, "http://dynamodb").Options().Credentials,
	})
}

// createStreamed makes a table keyed by pk and sk with a stream and returns the stream's ARN.
func createStreamed(t *testing.T, c *sdk.Client, name string, view types.StreamViewType) *string {
	t.Helper()
	out := must[*sdk.CreateTableOutput](t)(c.CreateTable(t.Context(), &sdk.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: view},
	}))
	return out.TableDescription.LatestStreamArn
}

// iterator returns a shard iterator of the only shard.
func iterator(t *testing.T, c *dynamodbstreams.Client, arn *string, kind streamtypes.ShardIteratorType, sequence *string) *string {
	t.Helper()
	d := must[*dynamodbstreams.DescribeStreamOutput](t)(c.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: arn})).StreamDescription
	if len(d.Shards) != 1 || d.Shards[0].SequenceNumberRange.EndingSequenceNumber != nil {
		t.Fatalf("shards %+v, want one that is open", d.Shards)
	}
	return must[*dynamodbstreams.GetShardIteratorOutput](t)(c.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
		StreamArn: arn, ShardId: d.Shards[0].ShardId, ShardIteratorType: kind, SequenceNumber: sequence})).ShardIterator
}

// read returns all records from an iterator on, in pages of three.
func read(t *testing.T, c *dynamodbstreams.Client, from *string) []streamtypes.Record {
	t.Helper()
	var all []streamtypes.Record
	for {
		out := must[*dynamodbstreams.GetRecordsOutput](t)(c.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: from, Limit: aws.Int32(3)}))
		if from = out.NextShardIterator; len(out.Records) == 0 {
			return all
		}
		all = append(all, out.Records...)
	}
}

// shown is a record in one line: name, keys, new and old image.
func shown(records []streamtypes.Record) []string {
	image := func(it map[string]streamtypes.AttributeValue) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(it)) {
			text, _ := json.Marshal(it[name])
			parts = append(parts, name+"="+strings.Trim(strings.TrimPrefix(string(text), `{"Value":`), `"}`))
		}
		return strings.Join(parts, ",")
	}
	var lines []string
	for _, r := range records {
		lines = append(lines, strings.TrimRight(fmt.Sprint(r.EventName, " ", image(r.Dynamodb.Keys), " ", image(r.Dynamodb.NewImage), " ", image(r.Dynamodb.OldImage)), " "))
	}
	return lines
}

// changes writes in each way there is, and what each table's stream must say of it.
func changes(t *testing.T, c *sdk.Client, table string) {
	t.Helper()
	put := func(sk string, n int) types.TransactWriteItem {
		return types.TransactWriteItem{Put: &types.Put{TableName: &table, Item: with(key("a", sk), attributes{"n": num(n)})}}
	}
	must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: &table, Item: with(key("a", "1"), attributes{"n": num(1)})}))
	update := func(to string) {
		must[*sdk.UpdateItemOutput](t)(c.UpdateItem(t.Context(), &sdk.UpdateItemInput{TableName: &table, Key: key("a", "1"), UpdateExpression: aws.String("SET n = :n"), ExpressionAttributeValues: attributes{":n": num(to)}}))
	}
	update("2")
	update("2.0") // the same number: no record
	must[*sdk.TransactWriteItemsOutput](t)(c.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		put("2", 2), put("3", 3), {ConditionCheck: &types.ConditionCheck{TableName: &table, Key: key("a", "1"), ConditionExpression: aws.String("attribute_exists(pk)")}}}}))
	_, err := c.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		put("4", 4), {Delete: &types.Delete{TableName: &table, Key: key("a", "1"), ConditionExpression: aws.String("attribute_not_exists(pk)")}}}})
	if err == nil {
		t.Error("the transaction was not canceled")
	}
	must[*sdk.BatchWriteItemOutput](t)(c.BatchWriteItem(t.Context(), &sdk.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: {
		{DeleteRequest: &types.DeleteRequest{Key: key("a", "2")}}, {DeleteRequest: &types.DeleteRequest{Key: key("a", "none")}}}}}))
	must[*sdk.DeleteItemOutput](t)(c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: &table, Key: key("a", "3")}))
}

// TestStreamViews: each change of an item leaves one record with what the stream shows.
func TestStreamViews(t *testing.T) {
	t.Parallel()
	for view, want := range map[types.StreamViewType][]string{
		types.StreamViewTypeKeysOnly: {"INSERT pk=a,sk=1", "MODIFY pk=a,sk=1", "INSERT pk=a,sk=2", "INSERT pk=a,sk=3", "REMOVE pk=a,sk=2", "REMOVE pk=a,sk=3"},
		types.StreamViewTypeNewImage: {"INSERT pk=a,sk=1 n=1,pk=a,sk=1", "MODIFY pk=a,sk=1 n=2,pk=a,sk=1", "INSERT pk=a,sk=2 n=2,pk=a,sk=2", "INSERT pk=a,sk=3 n=3,pk=a,sk=3",
			"REMOVE pk=a,sk=2", "REMOVE pk=a,sk=3"},
		types.StreamViewTypeNewAndOldImages: {"INSERT pk=a,sk=1 n=1,pk=a,sk=1", "MODIFY pk=a,sk=1 n=2,pk=a,sk=1 n=1,pk=a,sk=1", "INSERT pk=a,sk=2 n=2,pk=a,sk=2", "INSERT pk=a,sk=3 n=3,pk=a,sk=3",
			"REMOVE pk=a,sk=2  n=2,pk=a,sk=2", "REMOVE pk=a,sk=3  n=3,pk=a,sk=3"},
	} {
		t.Run(string(view), func(t *testing.T) {
			t.Parallel()
			db, c := inProcess(t, dynamodb.Options{})
			arn := createStreamed(t, c, "events", view)
			s := streams(db.Client())
			from := iterator(t, s, arn, "LATEST", nil)
			changes(t, c, "events")
			records := read(t, s, from)
			if d := cmp.Diff(want, shown(records)); d != "" {
				t.Errorf("records (-want +got)\n%s", d)
			}
			for kind, skipped := range map[streamtypes.ShardIteratorType]int{"TRIM_HORIZON": 0, "AT_SEQUENCE_NUMBER": 2, "AFTER_SEQUENCE_NUMBER": 3} {
				var sequence *string
				if skipped > 0 {
					sequence = records[2].Dynamodb.SequenceNumber
				}
				if d := cmp.Diff(want[skipped:], shown(read(t, s, iterator(t, s, arn, kind, sequence)))); d != "" {
					t.Errorf("%s (-want +got)\n%s", kind, d)
				}
			}
		})
	}
}

// TestStreamRecord is all that a record says.
func TestStreamRecord(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 5e6, time.UTC)
	db, c := inProcess(t, dynamodb.Options{Now: func() time.Time { return now }, Region: "eu-west-1", AccountID: "123456789012"})
	arn := createStreamed(t, c, "events", types.StreamViewTypeNewImage)
	if want := "arn:aws:dynamodb:eu-west-1:123456789012:table/events/stream/2026-11-22T10:00:00.005"; *arn != want {
		t.Errorf("stream %s, want %s", *arn, want)
	}
	must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("events"), Item: with(key("a", "b"), attributes{"n": num(1), "l": &types.AttributeValueMemberL{Value: []types.AttributeValue{num(2)}}})}))
	s := streams(db.Client())
	r := read(t, s, iterator(t, s, arn, "TRIM_HORIZON", nil))[0]
	got := []any{r.EventName, *r.EventSource, *r.EventVersion, *r.AwsRegion, len(*r.EventID), r.UserIdentity == nil, r.Dynamodb.StreamViewType,
		*r.Dynamodb.SequenceNumber, r.Dynamodb.ApproximateCreationDateTime.UTC(), *r.Dynamodb.SizeBytes}
	want := []any{streamtypes.OperationTypeInsert, "aws:dynamodb", "1.1", "eu-west-1", 32, true, streamtypes.StreamViewTypeNewImage,
		"100000000000000000001", now.Truncate(time.Second), int64(3 + 3 + 3 + 3 + 3 + 1 + 3 + 3)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("record (-want +got)\n%s", d)
	}
	d := must[*sdk.DescribeTableOutput](t)(c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("events")})).Table
	if *d.LatestStreamArn != *arn || *d.LatestStreamLabel != "2026-11-22T10:00:00.005" || !*d.StreamSpecification.StreamEnabled || d.StreamSpecification.StreamViewType != "NEW_IMAGE" || *d.ItemCount != 1 {
		t.Errorf("table %+v", d)
	}
	createTable(t, c, "plain")
	l := must[*dynamodbstreams.ListStreamsOutput](t)(s.ListStreams(t.Context(), nil)).Streams
	if len(l) != 1 || *l[0].StreamArn != *arn || *l[0].TableName != "events" {
		t.Errorf("streams %+v", l)
	}
}

// TestStreamTrims: records are kept for a day, iterators for a quarter of an hour, and
// what expires is removed by the service.
func TestStreamTrims(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	db, c := inProcess(t, dynamodb.Options{Now: func() time.Time { return now }})
	arn, table := createStreamed(t, c, "events", types.StreamViewTypeKeysOnly), aws.String("events")
	must[*sdk.UpdateTimeToLiveOutput](t)(c.UpdateTimeToLive(t.Context(), &sdk.UpdateTimeToLiveInput{TableName: table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ttl"), Enabled: aws.Bool(true)}}))
	put := func(sk string) {
		must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: table, Item: with(key("a", sk), attributes{"ttl": num(now.Unix())})}))
	}
	s := streams(db.Client())
	put("1")
	put("2")
	first := read(t, s, iterator(t, s, arn, "TRIM_HORIZON", nil))[0]
	old := iterator(t, s, arn, "TRIM_HORIZON", nil)
	now = now.Add(24 * time.Hour)
	_, err := s.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: old})
	wantError(t, err, "ExpiredIteratorException", "Iterator expired. The iterator was created more than 15 minutes ago.")
	if got := shown(read(t, s, iterator(t, s, arn, "TRIM_HORIZON", nil))); got != nil {
		t.Errorf("after a day there is %v", got)
	}
	if n, err := db.Sweep(now); n != 2 || err != nil {
		t.Fatalf("swept %d, %v", n, err)
	}
	put("3")
	left := read(t, s, iterator(t, s, arn, "TRIM_HORIZON", nil))
	if d := cmp.Diff([]string{"REMOVE pk=a,sk=1", "REMOVE pk=a,sk=2", "INSERT pk=a,sk=3"}, shown(left)); d != "" {
		t.Errorf("records (-want +got)\n%s", d)
	}
	if id := left[0].UserIdentity; id == nil || *id.PrincipalId != "dynamodb.amazonaws.com" || *id.Type != "Service" || left[2].UserIdentity != nil {
		t.Errorf("identities %+v, %+v", id, left[2].UserIdentity)
	}
	_, err = s.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: aws.String("shardId-00000000000000000001-00000001"),
		ShardIteratorType: "AFTER_SEQUENCE_NUMBER", SequenceNumber: first.Dynamodb.SequenceNumber})
	wantError(t, err, "TrimmedDataAccessException", "The operation attempted to read past the oldest stream record in a shard")
}

// TestStreamRefusals: what cannot be asked for.
func TestStreamRefusals(t *testing.T) {
	t.Parallel()
	db, c := inProcess(t, dynamodb.Options{})
	arn := *createStreamed(t, c, "events", types.StreamViewTypeKeysOnly)
	const shard = `"ShardId":"shardId-00000000000000000001-00000001"`
	for _, tc := range []struct{ target, body, want string }{
		{"DynamoDB_20120810.CreateTable", `"AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","TableName":"abc","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"OLD_IMAGE"}`,
			"ValidationException: not supported by this emulator: StreamViewType OLD_IMAGE"},
		{"DynamoDB_20120810.UpdateTable", `"TableName":"events","StreamSpecification":{}`, "ValidationException: not supported by this emulator: member StreamSpecification of UpdateTable"},
		{"DynamoDBStreams_20120810.PutItem", ``, "UnknownOperationException: An unknown operation was requested: DynamoDBStreams_20120810.PutItem"},
		{"DynamoDB_20120810.GetRecords", ``, "UnknownOperationException: An unknown operation was requested: DynamoDB_20120810.GetRecords"},
		{"DynamoDBStreams_20120810.DescribeStream", `"StreamArn":"` + arn + `","Foo":1`, "ValidationException: not supported by this emulator: member Foo of DescribeStream"},
		{"DynamoDBStreams_20120810.DescribeStream", `"StreamArn":"` + arn + `x"`, "ResourceNotFoundException: Requested resource not found: Stream: " + arn + "x not found"},
		{"DynamoDBStreams_20120810.GetShardIterator", `"StreamArn":"` + arn + `","ShardId":"x","ShardIteratorType":"LATEST"`, "ResourceNotFoundException: Requested resource not found: Shard does not exist"},
		{"DynamoDBStreams_20120810.GetShardIterator", `"StreamArn":"` + arn + `",` + shard + `,"ShardIteratorType":"AT_SEQUENCE_NUMBER"`, "ValidationException: Missing parameter value: SequenceNumber is required for shard iterator type AT_SEQUENCE_NUMBER"},
		{"DynamoDBStreams_20120810.GetShardIterator", `"StreamArn":"` + arn + `",` + shard + `,"ShardIteratorType":"AT_SEQUENCE_NUMBER","SequenceNumber":"100000000000000000009"`, "ValidationException: Invalid SequenceNumber: 100000000000000000009"},
		{"DynamoDBStreams_20120810.GetRecords", `"ShardIterator":"x"`, "ValidationException: Invalid ShardIterator."},
		{"DynamoDBStreams_20120810.GetRecords", `"ShardIterator":"x","Limit":1001`, "ValidationException: Value '1001' at 'limit' failed to satisfy constraint: Member must have value between 1 and 1000"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://dynamodb", strings.NewReader("{"+tc.body+"}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Amz-Target", tc.target)
		request.Header.Set("Authorization", "x")
		response := must[*http.Response](t)(db.Client().Do(request))
		var answer struct{ Type, Message string }
		raw := map[string]string{}
		if err := json.NewDecoder(response.Body).Decode(&raw); err != nil {
			t.Fatal(err)
		}
		answer.Type, answer.Message = raw["__type"], raw["message"]
		_ = response.Body.Close()
		if got := answer.Type[strings.Index(answer.Type, "#")+1:] + ": " + answer.Message; got != tc.want {
			t.Errorf("%s {%s}: %s, want %s", tc.target, tc.body, got, tc.want)
		}
	}
}

// TestWritten: a reader in the process learns of a record, and of nothing else.
func TestWritten(t *testing.T) {
	t.Parallel()
	db, c := inProcess(t, dynamodb.Options{})
	createStreamed(t, c, "events", types.StreamViewTypeKeysOnly)
	createTable(t, c, "plain")
	if db.Written("plain") != nil || db.Written("none") != nil {
		t.Error("a table without a stream is waited for")
	}
	told := func(written <-chan struct{}) bool {
		select {
		case <-written:
			return true
		default:
			return false
		}
	}
	put := func() {
		must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("events"), Item: key("a", "b")}))
	}
	written := db.Written("events")
	if told(written) {
		t.Error("told of nothing")
	}
	put()
	if !told(written) {
		t.Error("not told of a record")
	}
	written = db.Written("events")
	put()
	if told(written) {
		t.Error("told of a write that changed nothing")
	}
}
