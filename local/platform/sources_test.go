package platform

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// fed has a function that a table's stream invokes and that sends to a queue, and a function that
// the queue invokes.
const fed = `
Resources:
  DeliveriesQueue: {Type: AWS::SQS::Queue, Properties: {QueueName: deliveries, VisibilityTimeout: 60}}
  EventsTable:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: events
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  SendFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: send
      Timeout: 60
      Environment: {Variables: {DELIVERIES_QUEUE_URL: !Ref DeliveriesQueue}}
      Policies:
        - Version: "2012-10-17"
          Statement: [{Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt DeliveriesQueue.Arn}]
      Events:
        Changes: {Type: DynamoDB, Properties: {Stream: !GetAtt EventsTable.StreamArn, StartingPosition: TRIM_HORIZON}}
  DeliverFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: deliver
      Timeout: 60
      Events:
        Messages: {Type: SQS, Properties: {Queue: !GetAtt DeliveriesQueue.Arn, BatchSize: 1, ScalingConfig: {MaximumConcurrency: 2}}}
`

// TestSources checks that a write to a table reaches the function of the table's stream, and that
// this function's message reaches the function of the queue, also after a restart.
func TestSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "template.yaml")
	if err := os.WriteFile(path, []byte(fed), 0o600); err != nil {
		t.Fatal(err)
	}
	tmpl, err := template.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two"} {
		p := &Platform{Config: Config{Dir: dir}, log: slog.New(slog.DiscardHandler)}
		c, err := p.startAWS(t.Context(), tmpl)
		if err != nil {
			t.Fatal(err)
		}
		client := queue.Open(config(c.sqs, ""), queue.Config{Deliveries: deliveriesQueue(tmpl)})
		delivered := make(chan string)
		p.functions = map[string]function{
			"send": {folder: "send", timeout: time.Minute, handler: func() lambda.Handler {
				return lambda.NewHandler(func(ctx context.Context, event events.DynamoDBEvent) error {
					var messages []queue.Message
					for _, r := range event.Records {
						messages = append(messages, queue.Message{Body: []byte(r.Change.NewImage["id"].String())})
					}
					return client.Send(ctx, messages)
				})
			}},
			"deliver": {folder: "deliver", timeout: time.Minute, handler: func() lambda.Handler {
				return lambda.NewHandler(func(ctx context.Context, event events.SQSEvent) {
					select {
					case delivered <- event.Records[0].Body:
					case <-ctx.Done():
					}
				})
			}},
		}
		s, err := p.openSources(t.Context(), tmpl, c)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		db := dynamodbsdk.NewFromConfig(config(c.dynamodb, ""))
		if _, err := db.PutItem(t.Context(), &dynamodbsdk.PutItemInput{TableName: aws.String("events"), Item: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}}}); err != nil {
			t.Fatal(err)
		}
		for got := ""; got != id; got = <-delivered { // the previous message may be repeated
			if got != "" && got != "one" {
				t.Errorf("delivered %s", got)
			}
		}
		if err := client.Send(iam.As(t.Context(), "deliver"), []queue.Message{{Body: []byte("x")}}); err == nil {
			t.Error("a function sent without the right to")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
