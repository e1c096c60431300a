package iam_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/template"
)

const (
	table    = "arn:aws:dynamodb:eu-west-1:123456789012:table/things"
	machine  = "arn:aws:states:eu-west-1:123456789012:stateMachine:flow"
	function = "arn:aws:lambda:eu-west-1:123456789012:function:kros-work"
)

// wire answers whatever arrives with an empty object, and counts.
type wire struct{ arrived int }

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.arrived++
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}")), Header: http.Header{}, Request: r}, nil
}

// TestRights: each request passes with the rights that it takes, is refused
// without any of them, and tells which were used.
func TestRights(t *testing.T) {
	t.Parallel()
	key := map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "1"}}
	things, others := aws.String("things"), aws.String("others")
	const other = "arn:aws:dynamodb:eu-west-1:123456789012:table/others"
	for name, tc := range map[string]struct {
		ask   func(ctx context.Context, db *dynamodb.Client, flows *sfn.Client) error
		needs []template.Right
	}{
		"read": {func(ctx context.Context, db *dynamodb.Client, _ *sfn.Client) error {
			_, err := db.GetItem(ctx, &dynamodb.GetItemInput{TableName: things, Key: key})
			return err
		}, []template.Right{{Action: "dynamodb:GetItem", Resource: table}}},
		"query a table": {func(ctx context.Context, db *dynamodb.Client, _ *sfn.Client) error {
			_, err := db.Query(ctx, &dynamodb.QueryInput{TableName: things})
			return err
		}, []template.Right{{Action: "dynamodb:Query", Resource: table}}},
		"query an index": {func(ctx context.Context, db *dynamodb.Client, _ *sfn.Client) error {
			_, err := db.Query(ctx, &dynamodb.QueryInput{TableName: things, IndexName: aws.String("by_n")})
			return err
		}, []template.Right{{Action: "dynamodb:Query", Resource: table + "/index/by_n"}}},
		"read a batch": {func(ctx context.Context, db *dynamodb.Client, _ *sfn.Client) error {
			keys := types.KeysAndAttributes{Keys: []map[string]types.AttributeValue{key}}
			_, err := db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{"things": keys, "others": keys}})
			return err
		}, []template.Right{{Action: "dynamodb:BatchGetItem", Resource: other}, {Action: "dynamodb:BatchGetItem", Resource: table}}},
		"write a transaction": {func(ctx context.Context, db *dynamodb.Client, _ *sfn.Client) error {
			_, err := db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: things, Item: key}},
				{Update: &types.Update{TableName: things, Key: key, UpdateExpression: aws.String("SET a = b")}},
				{Delete: &types.Delete{TableName: others, Key: key}},
				{ConditionCheck: &types.ConditionCheck{TableName: others, Key: key, ConditionExpression: aws.String("a = b")}},
			}})
			return err
		}, []template.Right{{Action: "dynamodb:ConditionCheckItem", Resource: other}, {Action: "dynamodb:DeleteItem", Resource: other},
			{Action: "dynamodb:PutItem", Resource: table}, {Action: "dynamodb:UpdateItem", Resource: table}}},
		"read a transaction": {func(ctx context.Context, db *dynamodb.Client, _ *sfn.Client) error {
			_, err := db.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: things, Key: key}}}})
			return err
		}, []template.Right{{Action: "dynamodb:GetItem", Resource: table}}},
		"start a workflow": {func(ctx context.Context, _ *dynamodb.Client, flows *sfn.Client) error {
			_, err := flows.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(machine)})
			return err
		}, []template.Right{{Action: "states:StartExecution", Resource: machine}}},
		"tell a workflow": {func(ctx context.Context, _ *dynamodb.Client, flows *sfn.Client) error {
			_, err := flows.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: aws.String("its"), Output: aws.String("{}")})
			return err
		}, []template.Right{{Action: "states:SendTaskSuccess", Resource: machine}}},
		"tell one that nobody knows": {func(ctx context.Context, _ *dynamodb.Client, flows *sfn.Client) error {
			_, err := flows.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: aws.String("nobody's")})
			return err
		}, []template.Right{{Action: "states:SendTaskFailure", Resource: machine + "-other"}}},
		"what no role allows": {func(ctx context.Context, db *dynamodb.Client, _ *sfn.Client) error {
			_, err := db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: things})
			return err
		}, []template.Right{{Action: "dynamodb:DeleteTable", Resource: table}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for missing := -1; missing < len(tc.needs); missing++ {
				f := template.Function{LogicalID: "WorkFunction", Folder: "work", Name: "kros-work", ARN: function}
				for i, right := range tc.needs {
					if i != missing {
						f.Rights = append(f.Rights, right)
					}
				}
				var used []template.Right
				roles, err := iam.New([]template.Function{f}, func(function string, r template.Right) {
					if function != "work" {
						t.Errorf("used by %s", function)
					}
					used = append(used, r)
				})
				if err != nil {
					t.Fatal(err)
				}
				next := &wire{}
				cfg := config(roles.Guard(next, func(token string) string { return map[string]string{"its": machine}[token] }))
				err = tc.ask(iam.As(t.Context(), "work"), dynamodb.NewFromConfig(cfg), sfn.NewFromConfig(cfg))
				if missing < 0 {
					if err != nil || next.arrived != 1 {
						t.Errorf("with its rights: %d arrived, %v", next.arrived, err)
					}
					order := cmpopts.SortSlices(func(a, b template.Right) bool { return a.Action+a.Resource < b.Action+b.Resource })
					if d := cmp.Diff(tc.needs, used, order); d != "" {
						t.Errorf("used: %s", d)
					}
					continue
				}
				want := "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/WorkFunctionRole/kros-work is not authorized to perform: " + tc.needs[missing].Action + " on resource: "
				if err == nil || !strings.Contains(err.Error(), want) || next.arrived != 0 || used != nil {
					t.Errorf("without %v: %d arrived, %v used, %v", tc.needs[missing], next.arrived, used, err)
				}
			}
		})
	}
}

// TestQueueRights: a batch takes the right to send or delete, on its queue alone.
func TestQueueRights(t *testing.T) {
	t.Parallel()
	queue := func(name string) *string {
		return aws.String("https://sqs.eu-west-1.amazonaws.com/123456789012/" + name)
	}
	f := template.Function{LogicalID: "WorkFunction", Folder: "work", Name: "kros-work", ARN: function,
		Rights: []template.Right{{Action: "sqs:SendMessage", Resource: "arn:aws:sqs:eu-west-1:123456789012:q"}}}
	roles, err := iam.New([]template.Function{f}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(roles.Guard(&wire{}, nil))
	queues, streams, ctx := sqs.NewFromConfig(cfg), dynamodbstreams.NewFromConfig(cfg), iam.As(t.Context(), "work")
	for name, c := range map[string]struct {
		ask     func() error
		refused string
	}{
		"send": {func() error {
			_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue("q"), MessageBody: aws.String("x")})
			return err
		}, ""},
		"send a batch": {func() error {
			_, err := queues.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: queue("q"), Entries: []sqstypes.SendMessageBatchRequestEntry{{Id: aws.String("1"), MessageBody: aws.String("x")}}})
			return err
		}, ""},
		"send to another queue": {func() error {
			_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue("other"), MessageBody: aws.String("x")})
			return err
		}, "sqs:SendMessage on resource: arn:aws:sqs:eu-west-1:123456789012:other"},
		"receive": {func() error {
			_, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue("q")})
			return err
		}, "sqs:ReceiveMessage on resource: arn:aws:sqs:eu-west-1:123456789012:q"},
		"read a stream": {func() error {
			_, err := streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: aws.String(table + "/stream/2026-11-29T15:00:00.000")})
			return err
		}, "dynamodb:DescribeStream on resource: " + table + "/stream/2026-11-29T15:00:00.000"},
	} {
		err := c.ask()
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), "not authorized to perform: "+c.refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNobody: a test's own requests, and the laptop's, are nobody's.
func TestNobody(t *testing.T) {
	t.Parallel()
	roles, err := iam.New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := &wire{}
	db := dynamodb.NewFromConfig(config(roles.Guard(next, nil)))
	if _, err := db.ListTables(t.Context(), nil); err != nil || next.arrived != 1 {
		t.Errorf("%d arrived, %v", next.arrived, err)
	}
	if _, err := db.ListTables(iam.As(t.Context(), "work"), nil); err == nil || !strings.Contains(err.Error(), `no function "work"`) {
		t.Errorf("a function that is not there: %v", err)
	}
}

func TestRefusesWildcards(t *testing.T) {
	t.Parallel()
	for right, refused := range map[template.Right]bool{
		{Action: "dynamodb:GetItem", Resource: table}:                 false,
		{Action: "dynamodb:*", Resource: table}:                       true,
		{Action: "dynamodb:GetItem", Resource: table + "/index/*"}:    true,
		{Action: "states:SendTaskSuccess", Resource: "*"}:             true,
		{Action: "sqs:SendMessage", Resource: "*"}:                    true,
		{Action: "bedrock:InvokeModel", Resource: "arn:aws:bedrock*"}: false, // not emulated
	} {
		_, err := iam.New([]template.Function{{LogicalID: "WorkFunction", ARN: function, Rights: []template.Right{right}}}, nil)
		if (err != nil) != refused {
			t.Errorf("%v: %v", right, err)
		}
	}
	if _, err := iam.New([]template.Function{{LogicalID: "WorkFunction", ARN: "work"}}, nil); err == nil {
		t.Error("a function without an ARN was taken")
	}
}

func config(transport http.RoundTripper) aws.Config {
	return aws.Config{Region: "eu-west-1", RetryMaxAttempts: 1, HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
}
