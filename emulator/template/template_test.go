package template

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// small has one of everything, references in every form.
const small = `
Parameters:
  Stage: {Type: String, Default: test}
  Secret: {Type: String, NoEcho: true}
  Model: {Type: String, Default: ""}
Conditions:
  HasModel: !Not [!Equals [!Ref Model, ""]]
  HasNone: !Not [!Condition HasModel]
Globals:
  Function:
    MemorySize: 256
    Timeout: 10
    Environment: {Variables: {STAGE: !Ref Stage, LEVEL: info}}
Resources:
  Api: {Type: AWS::Serverless::HttpApi}
  ReadThingFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile, Public: it is a test}
    Properties:
      FunctionName: !Sub ${AWS::StackName}-readthing
      Timeout: 3
      Environment:
        Variables:
          LEVEL: debug
          THINGS: !Ref Things
          THINGS_ARN: !GetAtt Things.Arn
          LONG: {"Fn::Join": ["/", [a, {Ref: Stage}, {"Fn::GetAtt": [Things, Arn]}]]}
          LITERAL: !Sub "${!Stage} is ${Stage} for ${Things.Arn}"
          MACHINE: !Ref Flow
          SECRET: !Ref Secret
          KEPT: !Ref Kept
          MODEL: !If [HasModel, !Ref Model, !Ref AWS::NoValue]
      Policies:
        - Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Action: [dynamodb:GetItem, dynamodb:PutItem]
              Resource: !GetAtt Things.Arn
            - Effect: Allow
              Action: dynamodb:Query
              Resource: [!Sub "${Things.Arn}/index/by_n"]
            - !If [HasModel, {Effect: Allow, Action: bedrock:InvokeModel, Resource: "*"}, !Ref AWS::NoValue]
      Events:
        Two: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: get, Path: "/things/{id}"}}
        One: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: POST, Path: /things}}
        Rest: {Type: HttpApi, Properties: {ApiId: !Ref Api}}
        Clock: {Type: Schedule, Properties: {Schedule: rate(5 minutes)}}
  Kept:
    Type: AWS::SecretsManager::Secret
    Properties: {Name: !Sub "${AWS::StackName}/kept", SecretString: !Ref Secret}
  Spare:
    Type: AWS::DynamoDB::Table
    Condition: HasModel
    Properties: {TableName: spare, TimeToLiveSpecification: !If [HasNone, {Enabled: true, AttributeName: never}, !Ref AWS::NoValue]}
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub "${AWS::StackName}-things"
      BillingMode: PAY_PER_REQUEST
      SSESpecification: {SSEEnabled: true}
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}, {AttributeName: n, AttributeType: N}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      GlobalSecondaryIndexes:
        - IndexName: by_n
          KeySchema: [{AttributeName: n, KeyType: HASH}]
          Projection: {ProjectionType: INCLUDE, NonKeyAttributes: [name]}
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
  Flow:
    Type: AWS::Serverless::StateMachine
    Properties:
      Name: !Sub ${AWS::StackName}-flow
      DefinitionUri: testdata/flow.asl.json
      DefinitionSubstitutions: {ReadThing: !GetAtt ReadThingFunction.Arn}
`

func TestReadsWhatWouldBeDeployed(t *testing.T) {
	t.Parallel()
	got, err := parse([]byte(small), ".", Values{"AWS::StackName": "s", "AWS::Region": "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	const things = "arn:aws:dynamodb:eu-west-1:000000000000:table/s-things"
	const machine = "arn:aws:states:eu-west-1:000000000000:stateMachine:s-flow"
	const function = "arn:aws:lambda:eu-west-1:000000000000:function:s-readthing"

	diff(t, "routes", got.Routes(), []Route{
		{Method: "POST", Path: "/things", Function: "readthing", Public: true},
		{Method: "GET", Path: "/things/{id}", Function: "readthing", Public: true},
	})
	diff(t, "fallback", got.Fallback(), "readthing")
	diff(t, "functions", got.Functions(), []Function{{
		LogicalID: "ReadThingFunction", Folder: "readthing", Name: "s-readthing", ARN: function,
		Timeout: 3 * time.Second, MemoryMB: 256, Public: "it is a test",
		Environment: map[string]string{
			"STAGE": "test", "LEVEL": "debug", "THINGS": "s-things", "THINGS_ARN": things,
			"LONG": "a/test/" + things, "LITERAL": "${Stage} is test for " + things, "MACHINE": machine, "KEPT": "arn:aws:secretsmanager:eu-west-1:000000000000:secret:s/kept",
		}, // SECRET has no value before deployment
		Rights: []Right{{"dynamodb:GetItem", things}, {"dynamodb:PutItem", things}, {"dynamodb:Query", things + "/index/by_n"}},
	}})
	diff(t, "tables", got.Tables(), []Table{{
		TTLAttribute: "expires_at",
		Create: &dynamodb.CreateTableInput{
			TableName:   aws.String("s-things"),
			BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{
				{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS},
				{AttributeName: aws.String("n"), AttributeType: types.ScalarAttributeTypeN},
			},
			KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
			GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
				IndexName:  aws.String("by_n"),
				KeySchema:  []types.KeySchemaElement{{AttributeName: aws.String("n"), KeyType: types.KeyTypeHash}},
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"name"}},
			}},
		},
	}})
	diff(t, "schedules", got.Schedules(), []Schedule{{Name: "Clock", Function: "readthing", Every: 5 * time.Minute}})
	machines := got.StateMachines()
	if len(machines) != 1 || machines[0].ARN != machine || !strings.Contains(string(machines[0].Definition), `"FunctionName": "`+function+`"`) {
		t.Errorf("state machines: %+v", machines)
	}
}

// TestConditions: what a condition brings is there when it is met.
func TestConditions(t *testing.T) {
	t.Parallel()
	got, err := parse([]byte(small), ".", Values{"Model": "m"})
	if err != nil {
		t.Fatal(err)
	}
	f := got.Functions()[0]
	diff(t, "variable", f.Environment["MODEL"], "m")
	diff(t, "right", f.Rights[len(f.Rights)-1], Right{"bedrock:InvokeModel", "*"})
	if tables := got.Tables(); len(tables) != 2 || tables[0].TTLAttribute != "" {
		t.Errorf("tables: %+v", tables)
	}
}

func TestRefusesWhatItWouldHaveToGuess(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, new, want string }{
		"unknown function":         {"!Sub ${AWS::StackName}-readthing", "!Select [0, [a]]", "Fn::Select"},
		"unknown reference":        {"TableName: !Sub \"${AWS::StackName}-things\"", "TableName: !Ref Nobody", "Nobody"},
		"unknown attribute":        {"!GetAtt ReadThingFunction.Arn", "!GetAtt ReadThingFunction.Version", "Version"},
		"parameter without value":  {"-flow", "-${Secret}", "Secret"},
		"unsubstituted name":       {"{ReadThing:", "{ReadOther:", "ReadOther"},
		"definition not there":     {"testdata/flow.asl.json", "testdata/none.asl.json", "none.asl.json"},
		"event type":               {"Type: Schedule,", "Type: SNS,", "SNS"},
		"cron":                     {"rate(5 minutes)", "cron(0 12 * * ? *)", "not a rate"},
		"rate of wrong number":     {"rate(5 minutes)", "rate(5 minute)", "singular"},
		"function with other name": {"ReadThingFunction", "ReadingOfThings", "ends in Function"},
		"key twice":                {"Api: {", "Things: {}\n  Api: {", "Things"},
		"anchor":                   {"Stage: {Type", "Stage: &a {Type", "not supported"},
		"unknown condition":        {"- !If [HasModel", "- !If [HasOther", "HasOther"},
		"condition of a resource":  {"Condition: HasModel\n", "Condition: HasOther\n", "HasOther"},
		"condition it cannot tell": {"!Not [!Equals", "!Or [!Equals", "not supported"},
		"condition without value":  {"!Equals [!Ref Model", "!Equals [!Ref Secret", "Secret"},
		"made conditionally":       {"TableName: !Sub \"${AWS::StackName}-things\"", "TableName: !Ref Spare", "Spare"},
		"secret without a name":    {"Name: !Sub \"${AWS::StackName}/kept\", SecretString: !Ref Secret", "SecretString: !Ref Secret}\n  Other: {Type: AWS::DynamoDB::Table, Properties: {TableName: !Ref Kept}", "no Name"},
		"managed policy":           {"        - Version: \"2012-10-17\"\n", "        - AWSLambdaExecute\n        - Version: \"2012-10-17\"\n", "a policy is a document"},
		"policy template":          {"        - Version: \"2012-10-17\"\n", "        - DynamoDBReadPolicy: {TableName: !Ref Things}\n        - Version: \"2012-10-17\"\n", "DynamoDBReadPolicy"},
		"older version":            {"2012-10-17", "2008-10-17", "2008-10-17"},
		"statement that denies":    {"Effect: Allow\n              Action: dynamodb:Query", "Effect: Deny\n              Action: dynamodb:Query", "allows"},
		"action that is not":       {"Action: dynamodb:Query", "NotAction: dynamodb:Query", "NotAction"},
		"condition of a statement": {"Action: dynamodb:Query", "Condition: {}\n              Action: dynamodb:Query", "Condition"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.ReplaceAll(small, tc.old, tc.new)
			if text == small {
				t.Fatalf("%q is not in the template", tc.old)
			}
			_, err := parse([]byte(text), ".", nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one that names %q", err, tc.want)
			}
		})
	}
}

func TestUnreplacedSubstitution(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "DefinitionSubstitutions: {ReadThing: !GetAtt ReadThingFunction.Arn}", "Tracing: {Enabled: true}", 1)
	_, err := parse([]byte(text), ".", nil)
	if err == nil || !strings.Contains(err.Error(), "nothing replaces ${ReadThing}") {
		t.Errorf("got error %v", err)
	}
}

func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	unexported := cmpopts.IgnoreUnexported(dynamodb.CreateTableInput{}, types.AttributeDefinition{},
		types.KeySchemaElement{}, types.GlobalSecondaryIndex{}, types.Projection{})
	if d := cmp.Diff(want, got, unexported); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
