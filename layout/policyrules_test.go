package layout

import (
	"strings"
	"testing"
)

// TestPolicyRules proves that each rule finds the mistakes that it is for, in copies of the
// template with one change.
func TestPolicyRules(t *testing.T) {
	t.Parallel()
	const (
		listNumbers = "Resource: !Sub ${NumbersTable.Arn}/index/by_user\n"
		firstQuery  = "Action: [dynamodb:Query]\n"
		document    = "      Policies:\n        - Version: \"2012-10-17\"\n"
		cursor      = "          CURSOR_KEY: !Ref CursorKeySecret\n"
		prepare     = "                - !GetAtt PrepareCallFunction.Arn\n"
		numbers     = "  NumbersTable: "
	)
	tested := map[string]bool{}
	for _, tc := range []struct{ rule, name, old, with, want string }{
		{"rights name actions and resources", "any action", firstQuery, "Action: [dynamodb:*]\n", "dynamodb:*"},
		{"rights name actions and resources", "any index", listNumbers, "Resource: !Sub ${NumbersTable.Arn}/index/*\n", "index/*"},
		{"rights name actions and resources", "any resource", listNumbers, "Resource: \"*\"\n", "dynamodb:Query on *"},
		{"rights name actions and resources", "one of several", listNumbers, "Resource: [!GetAtt NumbersTable.Arn, \"arn:*\"]\n", "arn:*"},
		{"rights name actions and resources", "chosen by a condition", listNumbers, "Resource: !If [HasBedrock, \"*\", !GetAtt NumbersTable.Arn]\n", "dynamodb:Query on *"},
		{"rights name actions and resources", "all but an action", firstQuery, "NotAction: [dynamodb:Query]\n", "allows actions"},
		{"rights name actions and resources", "all but a resource", listNumbers, "NotResource: !GetAtt NumbersTable.Arn\n", "allows actions"},
		{"rights name actions and resources", "both", firstQuery, firstQuery + "              NotResource: !GetAtt NumbersTable.Arn\n", "NotResource"},
		{"rights name actions and resources", "a managed policy", document, "      Policies:\n        - AmazonDynamoDBFullAccess\n        - Version: \"2012-10-17\"\n", "AmazonDynamoDBFullAccess"},
		{"rights name actions and resources", "one managed policy", "      Policies:\n        - Version: \"2012-10-17\"\n          Statement:\n", "      Policies: AmazonDynamoDBFullAccess\n      Description:\n        - Statement:\n", "no list"},
		{"rights name actions and resources", "a policy template", document, "      Policies:\n        - DynamoDBCrudPolicy: {TableName: !Ref NumbersTable}\n        - Version: \"2012-10-17\"\n", "DynamoDBCrudPolicy"},
		{"rights name actions and resources", "a role made elsewhere", "      FunctionName: !Sub ${AWS::StackName}-health\n", "      FunctionName: health\n      Role: arn:aws:iam::1:role/x\n", "HealthFunction: roles"},
		{"rights name actions and resources", "a role made here", numbers, "  Free: {Type: AWS::IAM::Role, Properties: {}}\n" + numbers, "Free: roles"},
		{"rights name actions and resources", "a reason without a wildcard", "bedrock:*::foundation-model/*", "bedrock:${AWS::Region}::foundation-model/m", "no statement has the wildcard bedrock"},

		{"state machines invoke what they are made of", "one too few", prepare, "", "CallMachine may invoke"},
		{"state machines invoke what they are made of", "one too many", prepare, prepare + "                - !GetAtt HealthFunction.Arn\n", "CallMachine may invoke"},

		{"secrets are read by those who need them", "no right", "              Resource: !Ref CursorKeySecret\n", "              Resource: !Ref CallTokenKeySecret\n", "CursorKeySecret"},
		{"secrets are read by those who need them", "no need", cursor, "", "may read [CursorKeySecret]"},
		{"secrets are read by those who need them", "more than reading", "Action: [secretsmanager:GetSecretValue]\n", "Action: [secretsmanager:GetSecretValue, secretsmanager:PutSecretValue]\n", "PutSecretValue"},
		{"secrets are read by those who need them", "for all", "        METRICS_NAMESPACE:", "        ALL: !Ref CursorKeySecret\n        METRICS_NAMESPACE:", "every function"},
		{"secrets are read by those who need them", "LiveKit's without LiveKit", "          LIVEKIT_URL: !Ref LiveKitUrl\n", "", "not its address"},

		{"parameters that are secret go into secrets", "in a variable", cursor, "          CURSOR_KEY: !Ref LiveKitApiSecret\n", "shows the secret parameter LiveKitApiSecret"},
		{"parameters that are secret go into secrets", "inside a text", cursor, "          CURSOR_KEY: !Sub \"key-${LiveKitApiSecret}\"\n", "shows the secret parameter LiveKitApiSecret"},
		{"parameters that are secret go into secrets", "for all", "        METRICS_NAMESPACE:", "        ALL: !Ref LiveKitApiSecret\n        METRICS_NAMESPACE:", "for everybody"},
		{"parameters that are secret go into secrets", "in an output", "Outputs:\n", "Outputs:\n  Secret: {Value: !Ref LiveKitApiSecret}\n", "for everybody"},
		{"parameters that are secret go into secrets", "in a description", "      Description: Signs requests to LiveKit.\n", "      Description: !Ref LiveKitApiSecret\n", "LiveKitSecret shows"},
		{"parameters that are secret go into secrets", "written down", "      SecretString: !Ref LiveKitApiSecret\n", "      SecretString: hunter2\n", "LiveKitSecret holds"},
		{"parameters that are secret go into secrets", "with an echo", "    Description: Secret of the LiveKit API key. It is kept in Secrets Manager.\n    NoEcho: true\n", "", "LiveKitSecret holds"},
		{"parameters that are secret go into secrets", "nothing", "      SecretString: !Ref LiveKitApiSecret\n", "", "LiveKitSecret holds"},

		{"public functions say why", "not said", "      Public: tells whether the service is up, nothing else\n", "", "HealthFunction"},
		{"public functions say why", "no reason", "      Public: tells whether the service is up, nothing else\n", "      Public: \"\"\n", "HealthFunction"},
		{"public functions say why", "said of one that checks", "  ListNumbersFunction:\n    Type: AWS::Serverless::Function\n    Metadata:\n", "  ListNumbersFunction:\n    Type: AWS::Serverless::Function\n    Metadata:\n      Public: why not\n", "ListNumbersFunction"},
		{"public functions say why", "keys no longer checked", "          KEYS_TABLE: !Ref KeysTable\n", "", "checks keys false"},
		{"public functions say why", "said of a task", "  DialCallFunction:\n    Type: AWS::Serverless::Function\n    Metadata:\n", "  DialCallFunction:\n    Type: AWS::Serverless::Function\n    Metadata:\n      Public: why not\n", "DialCallFunction"},

		{"tables are protected", "deleted with the stack", "    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Retain\n", "    Type: AWS::DynamoDB::Table\n", "goes with the stack"},
		{"tables are protected", "deleted when replaced", "    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Retain\n    UpdateReplacePolicy: Retain\n", "    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Retain\n    UpdateReplacePolicy: Delete\n", "when it is replaced"},
		{"tables are protected", "deleted by hand", "      DeletionProtectionEnabled: true\n", "", "can be deleted"},
		{"tables are protected", "no recovery", "{PointInTimeRecoveryEnabled: true}", "{PointInTimeRecoveryEnabled: false}", "no recovery"},
		{"tables are protected", "another key", "{SSEEnabled: true, SSEType: KMS}", "{SSEEnabled: false}", "KMS"},
		{"tables are protected", "nothing expires", "      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}\n", "", "keeps what is to expire"},
		{"tables are protected", "something else expires", "{AttributeName: expires_at, Enabled: true}", "{AttributeName: created_at, Enabled: true}", "keeps what is to expire"},
		{"tables are protected", "what is to be kept", "      TableName: !Sub ${AWS::StackName}-audit\n", "      TableName: !Sub ${AWS::StackName}-audit\n      TimeToLiveSpecification: {AttributeName: at, Enabled: true}\n", "AuditTable expires"},
		{"tables are protected", "capacity", "      BillingMode: PAY_PER_REQUEST\n", "", "capacity"},

		{"functions log into groups of their own", "none", "      LoggingConfig: {LogGroup: !Ref HealthLogGroup}\n", "", "HealthFunction has no log group"},
		{"functions log into groups of their own", "another's", "{LogGroup: !Ref HealthLogGroup}", "{LogGroup: !Ref ListNumbersLogGroup}", "log into ListNumbersLogGroup"},
		{"functions log into groups of their own", "no group", "{LogGroup: !Ref HealthLogGroup}", "{LogGroup: !Ref NumbersTable}", "HealthFunction has no log group"},
		{"log groups expire", "kept", "-health\", RetentionInDays: !Ref LogRetentionDays}", "-health\"}", "HealthLogGroup"},

		{"state machines log and trace, without content", "not all", "        Level: ALL\n", "        Level: ERROR\n", "does not log"},
		{"state machines log and trace, without content", "prompts", "IncludeExecutionData: false", "IncludeExecutionData: true", "what people said"},
		{"state machines log and trace, without content", "nowhere", "        Destinations:\n", "        Nowhere:\n", "does not log"},
		{"state machines log and trace, without content", "no trace", "      Tracing: {Enabled: true}\n", "", "not traced"},
		{"state machines log and trace, without content", "five minutes", "      Type: STANDARD\n", "      Type: EXPRESS\n", "not a standard one"},
		{"state machines log and trace, without content", "a role", "      Type: STANDARD\n", "      Type: STANDARD\n      Role: arn\n", "role"},

		{"sweeps are not repeated, dials can be limited", "repeated", "{MaximumRetryAttempts: 0,", "{MaximumRetryAttempts: 2,", "is repeated"},
		{"sweeps are not repeated, dials can be limited", "by default", "      EventInvokeConfig:", "      Other:", "is repeated"},
		{"sweeps are not repeated, dials can be limited", "no limit", "      ReservedConcurrentExecutions:", "      Other:", "no limit"},
		{"sweeps are not repeated, dials can be limited", "an unlimited queue", "{MaximumConcurrency: ", "{Other: ", "DeliverWebhookFunction may take"},

		{"alarms notify", "nobody", "      AlarmActions: [!Ref AlarmTopic]\n", "", "tells nobody"},
		{"alarms notify", "no topic", "      AlarmActions: [!Ref AlarmTopic]\n", "      AlarmActions: [!Ref NumbersTable]\n", "tells nobody"},
		{"alarms notify", "silence is good", "      TreatMissingData: breaching\n", "      TreatMissingData: notBreaching\n", "SweepSilentAlarm"},
		{"alarms notify", "nothing is bad", "      TreatMissingData: notBreaching\n", "", "missing data"},
		{"alarms notify", "without a word", "      AlarmDescription: A call's workflow did not reach its end.\n", "", "CallsFailedAlarm"},
		{"alarms that must exist do", "gone", "  DialsAlarm:\n", "  OtherAlarm:\n", "DialsAlarm"},
		{"alarms that must exist do", "something else", "  DialsAlarm:\n    Type: AWS::CloudWatch::Alarm\n", "  DialsAlarm:\n    Type: AWS::SNS::Topic\n", "DialsAlarm"},
		{"alarms add up all their metrics", "one left out", "Expression: failed + timedOut + aborted", "Expression: failed + timedOut", "adds up"},
		{"alarms add up all their metrics", "one not there", "Expression: failed + timedOut + aborted", "Expression: failed + timedOut + aborted + stopped", "stopped"},
		{"alarms add up all their metrics", "none", "      MetricName: Dials\n", "", "DialsAlarm looks at nothing"},
		{"alarms know the metrics that the code counts", "never counted", "      MetricName: Dials\n", "      MetricName: Calls\n", "nothing counts Calls"},
		{"alarms know the metrics that the code counts", "never counted so", "      MetricName: Dials\n", "      MetricName: Dials\n      Dimensions: [{Name: Of, Value: calls}]\n", "nothing counts Dials"},
		{"alarms know the metrics that the code counts", "never counted of that", "{Name: Of, Value: numbers}", "{Name: Of, Value: people}", "people"},
		{"state machines have alarms", "failed", "MetricName: ExecutionsFailed, ", "MetricName: Other, ", "ExecutionsFailed of CallMachine"},
		{"state machines have alarms", "another's", "MetricName: ExecutionsAborted, Dimensions: [{Name: StateMachineArn, Value: !Ref ApprovalMachine}]", "MetricName: ExecutionsAborted, Dimensions: [{Name: StateMachineArn, Value: !Ref CallMachine}]", "ExecutionsAborted of ApprovalMachine"},
		{"tasks have alarms", "not watched", "MetricName: Errors, Dimensions: [{Name: FunctionName, Value: !Ref DialCallFunction}]", "MetricName: Errors, Dimensions: [{Name: FunctionName, Value: !Ref HealthFunction}]", "errors of DialCallFunction"},

		{"the dashboard shows every alarm", "one alarm less", `, "${DialsAlarm.Arn}"]}}`, `]}}`, "does not show DialsAlarm"},
		{"the dashboard shows every alarm", "no JSON", `, "${DialsAlarm.Arn}"]}}`, `, "${DialsAlarm.Arn}",]}}`, "has 0 widgets"},
	} {
		tested[tc.rule] = true
		t.Run(tc.rule+"/"+tc.name, func(t *testing.T) {
			t.Parallel()
			s := readStack(t, func(text string) string {
				if !strings.Contains(text, tc.old) {
					t.Fatalf("%q is not in the template", tc.old)
				}
				return strings.Replace(text, tc.old, tc.with, 1)
			})
			complaints := strings.Join(rules[tc.rule](s), "\n")
			if complaints == "" || !strings.Contains(complaints, tc.want) {
				t.Errorf("complaints %q, want one about %q", complaints, tc.want)
			}
		})
	}
	for name := range rules {
		if !tested[name] {
			t.Errorf("nothing shows that the rule works: %s", name)
		}
	}
}
