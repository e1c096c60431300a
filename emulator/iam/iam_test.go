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
	"github.com/aws/aws-sdk-go-v2/service/sfn"
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
