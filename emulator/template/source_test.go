package template

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// fed has a function that is fed by a stream and by a queue.
const fed = `
Resources:
  AQueue: # is behind DeadQueue in the order of creation
    Type: AWS::SQS::Queue
    DeletionPolicy: Retain
    Properties:
      QueueName: !Sub ${AWS::StackName}-work
      VisibilityTimeout: 120
      MessageRetentionPeriod: 1209600
      SqsManagedSseEnabled: true
      RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadQueue.Arn, maxReceiveCount: 5}
  DeadQueue:
    Type: AWS::SQS::Queue
    Properties: {QueueName: dead, Tags: [{Key: a, Value: b}]}
  EventsTable:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: events
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: work
      Environment: {Variables: {QUEUE_URL: !Ref AQueue, QUEUE_NAME: !GetAtt AQueue.QueueName}}
      Policies:
        - Version: "2012-10-17"
          Statement:
            - {Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt AQueue.Arn}
      Events:
        Changes:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt EventsTable.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 10
            MaximumRetryAttempts: 3
            FunctionResponseTypes: [ReportBatchItemFailures]
            FilterCriteria: {Filters: [{Pattern: '{"eventName":["INSERT"]}'}]}
            DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt DeadQueue.Arn}}
        Messages:
          Type: SQS
          Properties:
            Queue: !GetAtt AQueue.Arn
            BatchSize: 1
            Enabled: true
            ScalingConfig: {MaximumConcurrency: 10}
        Off: {Type: SQS, Properties: {Queue: !GetAtt DeadQueue.Arn, Enabled: false}}
`

func TestSources(t *testing.T) {
	t.Parallel()
	got, err := parse([]byte(fed), ".", Values{"AWS::StackName": "s", "AWS::Region": "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	const queue, dead = "arn:aws:sqs:eu-west-1:000000000000:s-work", "arn:aws:sqs:eu-west-1:000000000000:dead"
	diff(t, "queues", got.Queues(), []Queue{
		{LogicalID: "DeadQueue", Name: "dead", ARN: dead, Attributes: map[string]string{}},
		{LogicalID: "AQueue", Name: "s-work", ARN: queue, Attributes: map[string]string{"VisibilityTimeout": "120", "MessageRetentionPeriod": "1209600", "SqsManagedSseEnabled": "true",
			"RedrivePolicy": `{"deadLetterTargetArn":"` + dead + `","maxReceiveCount":5}`}},
	})
	diff(t, "sources", got.Sources(), []Source{
		{Name: "Changes", Function: "work", Table: "events", BatchSize: 10, StartingPosition: "TRIM_HORIZON", MaximumRetryAttempts: aws.Int(3), ReportBatchItemFailures: true,
			Filters: []string{`{"eventName":["INSERT"]}`}, OnFailure: dead},
		{Name: "Messages", Function: "work", Queue: queue, BatchSize: 1, MaximumConcurrency: 10},
	})
	if s := got.Tables()[0].Create.StreamSpecification; !*s.StreamEnabled || s.StreamViewType != types.StreamViewTypeNewImage {
		t.Errorf("stream %+v", s)
	}
	f := got.Functions()[0]
	diff(t, "environment", f.Environment, map[string]string{"QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/000000000000/s-work", "QUEUE_NAME": "s-work"})
	diff(t, "rights", f.Rights, []Right{{"sqs:SendMessage", queue}})
}

func TestSourcesRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, new, want string }{
		"property of a stream":  {"BatchSize: 10", "ParallelizationFactor: 10", "ParallelizationFactor"},
		"property of a queue":   {"BatchSize: 1\n", "MaximumBatchingWindowInSeconds: 1\n", "MaximumBatchingWindowInSeconds"},
		"property within":       {"{MaximumConcurrency: 10}", "{MinimumConcurrency: 10}", "MinimumConcurrency"},
		"FIFO":                  {"VisibilityTimeout: 120", "FifoQueue: true", "FifoQueue"},
		"redrive":               {"maxReceiveCount: 5", "maxReceiveCount: 5, other: 1", "other"},
		"response type":         {"[ReportBatchItemFailures]", "[Other]", "Other"},
		"destination":           {"Type: SQS, Destination", "Type: SNS, Destination", "SNS"},
		"another's stream":      {"Stream: !GetAtt EventsTable.StreamArn", "Stream: arn:aws:kinesis:x", "kinesis"},
		"no stream":             {"StreamSpecification: {StreamViewType: NEW_IMAGE}", "SSESpecification: {}", "StreamArn of EventsTable"},
		"stream's property":     {"{StreamViewType: NEW_IMAGE}", "{StreamViewType: NEW_IMAGE, ResourcePolicy: {}}", "ResourcePolicy"},
		"no queue":              {"Queue: !GetAtt AQueue.Arn\n            BatchSize: 1", "BatchSize: 1", "names no Queue"},
		"queue without a name":  {"QueueName: dead, ", "", "no QueueName"},
		"attribute of a queue":  {"Resource: !GetAtt AQueue.Arn", "Resource: !GetAtt AQueue.Other", "Other"},
		"wrong kind of a value": {"BatchSize: 10", "BatchSize: many", "BatchSize"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(fed, tc.old, tc.new, 1)
			if text == fed {
				t.Fatalf("%q is not in the template", tc.old)
			}
			_, err := parse([]byte(text), ".", nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one that names %q", err, tc.want)
			}
		})
	}
}
