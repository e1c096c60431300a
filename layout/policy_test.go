package layout

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/krosai/telephony/emulator/template"
)

// The rules that the template must follow so that the stack is safe. Each rule is a function of the
// template as written, and returns its complaints.

var rules = map[string]func(stack) []string{
	"rights name actions and resources":             namedRights,
	"state machines invoke what they are made of":   invocations,
	"secrets are read by those who need them":       secrets,
	"parameters that are secret go into secrets":    noEcho,
	"public functions say why":                      public,
	"tables are protected":                          tables,
	"functions log into groups of their own":        functionLogs,
	"log groups expire":                             retention,
	"state machines log and trace, without content": machineLogs,
	"sweeps are not repeated, dials can be limited": concurrency,
	"alarms notify":                                 alarmsNotify,
	"alarms that must exist do":                     requiredAlarms,
	"alarms add up all their metrics":               alarmMetrics,
	"alarms know the metrics that the code counts":  countedMetrics,
	"state machines have alarms":                    machineAlarms,
	"tasks have alarms":                             taskAlarms,
	"the dashboard shows every alarm":               dashboard,
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	s := readStack(t, nil)
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, complaint := range rule(s) {
				t.Error(complaint)
			}
		})
	}
}

// wildcards are the actions and resources that no statement can name in full, with the reason.
var wildcards = map[string]string{
	"logs:CreateLogDelivery *":        "log delivery knows no resources",
	"logs:GetLogDelivery *":           "log delivery knows no resources",
	"logs:UpdateLogDelivery *":        "log delivery knows no resources",
	"logs:DeleteLogDelivery *":        "log delivery knows no resources",
	"logs:ListLogDeliveries *":        "log delivery knows no resources",
	"logs:PutResourcePolicy *":        "resource policies of logs are the account's",
	"logs:DescribeResourcePolicies *": "resource policies of logs are the account's",
	"logs:DescribeLogGroups *":        "Step Functions looks for its group among all",
	"bedrock:InvokeModel arn:${AWS::Partition}:bedrock:*::foundation-model/*":                                            "an inference profile asks models in any of its regions",
	"bedrock:InvokeModel arn:${AWS::Partition}:bedrock:${AWS::Region}:${AWS::AccountId}:inference-profile/*":             "the model's id may be that of any profile",
	"bedrock:InvokeModel arn:${AWS::Partition}:bedrock:${AWS::Region}:${AWS::AccountId}:application-inference-profile/*": "the model's id may be that of any profile",
}

// namedRights: SAM makes the roles from the statements here, and these allow actions on resources
// that are named in full.
func namedRights(s stack) (complaints []string) {
	used := map[string]bool{}
	for id, res := range s.all() {
		if strings.HasPrefix(res.Type, "AWS::IAM::") || res.Properties["Role"] != nil {
			complaints = append(complaints, id+": roles come from Policies, which this test reads")
		}
		for _, st := range res.statements() {
			if st.problem != "" {
				complaints = append(complaints, id+": "+st.problem)
			}
			for _, action := range st.actions {
				for _, resource := range st.resources {
					right := action + " " + resource
					used[right] = true
					if strings.ContainsAny(right, "*?") && wildcards[right] == "" {
						complaints = append(complaints, fmt.Sprintf("%s: %s on %s is a wildcard without a reason", id, action, resource))
					}
				}
			}
		}
	}
	for right := range wildcards {
		if !used[right] {
			complaints = append(complaints, "no statement has the wildcard "+right)
		}
	}
	return complaints
}

// invocations: a state machine may invoke its own functions and no others.
func invocations(s stack) (complaints []string) {
	for id, res := range s.of("AWS::Serverless::StateMachine") {
		var may []string
		for _, st := range res.statements() {
			if slices.Contains(st.actions, "lambda:InvokeFunction") {
				may = append(may, st.resources...)
			}
		}
		var made []string
		substitutions, _ := res.Properties["DefinitionSubstitutions"].(map[string]any)
		for _, v := range substitutions {
			made = append(made, written(v))
		}
		if !sameSet(may, made) {
			complaints = append(complaints, fmt.Sprintf("%s may invoke %v and is made of %v", id, may, made))
		}
	}
	return complaints
}

// secrets: a function may read the secrets that its variables name and no others. It has LiveKit's
// secret only with LiveKit's address.
func secrets(s stack) (complaints []string) {
	isSecret := func(id string) bool { return s.Resources[id].Type == "AWS::SecretsManager::Secret" }
	if slices.ContainsFunc(mentioned(s.Globals), isSecret) {
		complaints = append(complaints, "Globals give a secret to every function")
	}
	for id, res := range s.of("AWS::Serverless::Function") {
		named := slices.DeleteFunc(mentioned(res.variables()), func(id string) bool { return !isSecret(id) })
		var may []string
		for _, st := range res.statements() {
			for _, action := range st.actions {
				if strings.HasPrefix(action, "secretsmanager:") {
					may = append(may, st.resources...)
				}
				if strings.HasPrefix(action, "secretsmanager:") && action != "secretsmanager:GetSecretValue" {
					complaints = append(complaints, id+" may "+action)
				}
			}
		}
		if !sameSet(named, may) {
			complaints = append(complaints, fmt.Sprintf("%s: its variables name %v and it may read %v", id, named, may))
		}
		for _, secret := range named {
			if strings.HasPrefix(secret, "LiveKit") && res.variables()["LIVEKIT_URL"] == nil {
				complaints = append(complaints, id+" has LiveKit's secret and not its address")
			}
		}
	}
	return complaints
}

// noEcho: a secret parameter goes nowhere but into a secret, and the content of a secret is
// visible nowhere.
func noEcho(s stack) (complaints []string) {
	hidden := func(id string) bool { return s.Parameters[id].NoEcho }
	for id, res := range s.all() {
		properties := maps.Clone(res.Properties)
		if res.Type == "AWS::SecretsManager::Secret" {
			text := properties["SecretString"]
			if r, _ := text.(map[string]any); text != nil && !hidden(fmt.Sprint(r["Ref"])) || text == nil && properties["GenerateSecretString"] == nil {
				complaints = append(complaints, id+" holds neither a parameter without echo nor what nobody knows")
			}
			delete(properties, "SecretString")
		}
		for _, name := range slices.DeleteFunc(mentioned(properties), func(id string) bool { return !hidden(id) }) {
			complaints = append(complaints, id+" shows the secret parameter "+name)
		}
	}
	for _, name := range slices.DeleteFunc(append(mentioned(s.Globals), mentioned(s.Outputs)...), func(id string) bool { return !hidden(id) }) {
		complaints = append(complaints, "the secret parameter "+name+" is for everybody to see")
	}
	return complaints
}

// public: a function with a route that cannot check a key says why it need not. No other function
// says so.
func public(s stack) (complaints []string) {
	for id, res := range s.of("AWS::Serverless::Function") {
		routed := len(res.events("HttpApi")) > 0
		checks := res.variables()["KEYS_TABLE"] != nil
		why, _ := res.Metadata["Public"].(string)
		if open := routed && !checks; open != (why != "") {
			complaints = append(complaints, fmt.Sprintf("%s: has a route %v, checks keys %v, is public because %q", id, routed, checks, why))
		}
	}
	return complaints
}

// expires are the tables with rows that expire, by their attribute expires_at.
var expires = []string{"LimitsTable", "WebhooksTable", "EventsTable"}

func tables(s stack) (complaints []string) {
	for id, res := range s.of("AWS::DynamoDB::Table") {
		p := res.Properties
		sse, _ := p["SSESpecification"].(map[string]any)
		recovery, _ := p["PointInTimeRecoverySpecification"].(map[string]any)
		ttl, _ := p["TimeToLiveSpecification"].(map[string]any)
		for problem, is := range map[string]bool{
			"goes with the stack":          res.DeletionPolicy != "Retain",
			"goes when it is replaced":     res.UpdateReplacePolicy != "Retain",
			"can be deleted":               p["DeletionProtectionEnabled"] != true,
			"has no recovery":              recovery["PointInTimeRecoveryEnabled"] != true,
			"is not encrypted with KMS":    sse["SSEEnabled"] != true || sse["SSEType"] != "KMS",
			"keeps what is to expire":      slices.Contains(expires, id) && (ttl["Enabled"] != true || ttl["AttributeName"] != "expires_at"),
			"expires what is to be kept":   !slices.Contains(expires, id) && ttl != nil,
			"has a capacity to be planned": p["BillingMode"] != "PAY_PER_REQUEST",
		} {
			if is {
				complaints = append(complaints, id+" "+problem)
			}
		}
	}
	return complaints
}

func functionLogs(s stack) (complaints []string) {
	owner := map[string]string{}
	for id, res := range s.of("AWS::Serverless::Function") {
		logging, _ := res.Properties["LoggingConfig"].(map[string]any)
		group, _ := logging["LogGroup"].(map[string]any)
		name := fmt.Sprint(group["Ref"])
		if s.Resources[name].Type != "AWS::Logs::LogGroup" {
			complaints = append(complaints, id+" has no log group")
		} else if owner[name] != "" {
			complaints = append(complaints, fmt.Sprintf("%s and %s log into %s", id, owner[name], name))
		}
		owner[name] = id
	}
	return complaints
}

func retention(s stack) (complaints []string) {
	for id, res := range s.of("AWS::Logs::LogGroup") {
		if res.Properties["RetentionInDays"] == nil {
			complaints = append(complaints, id+" is kept for ever")
		}
	}
	return complaints
}

func machineLogs(s stack) (complaints []string) {
	for id, res := range s.of("AWS::Serverless::StateMachine") {
		logging, _ := res.Properties["Logging"].(map[string]any)
		tracing, _ := res.Properties["Tracing"].(map[string]any)
		for problem, is := range map[string]bool{
			"does not log":             logging["Level"] != "ALL" || logging["Destinations"] == nil,
			"logs what people said":    logging["IncludeExecutionData"] != false,
			"is not traced":            tracing["Enabled"] != true,
			"is not a standard one":    res.Properties["Type"] != "STANDARD",
			"has a role that is named": res.Properties["Role"] != nil,
		} {
			if is {
				complaints = append(complaints, id+" "+problem)
			}
		}
	}
	return complaints
}

// concurrency: Lambda repeats a failed event, but a sweep need not be repeated. The operator of the
// stack can limit how many phones ring at once, and how many instances a queue takes, such as that
// of the webhook deliveries, whose receivers may hang.
func concurrency(s stack) (complaints []string) {
	for id, res := range s.of("AWS::Serverless::Function") {
		invoke, _ := res.Properties["EventInvokeConfig"].(map[string]any)
		if len(res.events("Schedule")) > 0 && fmt.Sprint(invoke["MaximumRetryAttempts"]) != "0" {
			complaints = append(complaints, id+" is repeated although it runs again soon")
		}
		events, _ := res.Properties["Events"].(map[string]any)
		for _, name := range res.events("SQS") {
			event, _ := events[name].(map[string]any)
			properties, _ := event["Properties"].(map[string]any)
			if scaling, _ := properties["ScalingConfig"].(map[string]any); scaling["MaximumConcurrency"] == nil {
				complaints = append(complaints, id+" may take every instance for its queue")
			}
		}
	}
	if s.Resources["DialCallFunction"].Properties["ReservedConcurrentExecutions"] == nil {
		complaints = append(complaints, "DialCallFunction has no limit of its own")
	}
	return complaints
}

// stack is template.yaml as written, with short tags in their long form.
type stack struct {
	Parameters map[string]struct{ NoEcho bool }
	Globals    struct{ Function map[string]any }
	Resources  map[string]resource
	Outputs    map[string]any
}

type resource struct {
	Type                                string
	DeletionPolicy, UpdateReplacePolicy string
	Metadata                            map[string]any
	Properties                          map[string]any
}

// readStack reads the template, after change if that is not nil.
func readStack(t *testing.T, change func(text string) string) (s stack) {
	t.Helper()
	text, err := os.ReadFile("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		text = []byte(change(string(text)))
	}
	tree, err := template.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// all are the resources in the order of their ids.
func (s stack) all() func(yield func(string, resource) bool) { return s.of("") }

// of are the resources of a type.
func (s stack) of(kind string) func(yield func(string, resource) bool) {
	return func(yield func(string, resource) bool) {
		for _, id := range slices.Sorted(maps.Keys(s.Resources)) {
			if res := s.Resources[id]; (kind == "" || res.Type == kind) && !yield(id, res) {
				return
			}
		}
	}
}

// variables are a function's own environment variables.
func (r resource) variables() map[string]any {
	environment, _ := r.Properties["Environment"].(map[string]any)
	variables, _ := environment["Variables"].(map[string]any)
	return variables
}

// events are the names of a function's events of a type.
func (r resource) events(kind string) (names []string) {
	events, _ := r.Properties["Events"].(map[string]any)
	for name, e := range events {
		if e, _ := e.(map[string]any); e["Type"] == kind {
			names = append(names, name)
		}
	}
	return names
}

// statement is a statement in the policies of a function or a state machine, with its actions and
// resources as written.
type statement struct {
	actions, resources []string
	problem            string
}

func (r resource) statements() (all []statement) {
	policies, ok := r.Properties["Policies"].([]any)
	if !strings.HasPrefix(r.Type, "AWS::Serverless::") || r.Properties["Policies"] == nil {
		return nil
	}
	if !ok {
		return []statement{{problem: "Policies is no list of documents"}}
	}
	for _, p := range policies {
		document, _ := p.(map[string]any)
		list, ok := document["Statement"].([]any)
		if !ok {
			all = append(all, statement{problem: fmt.Sprintf("%v is no document of its own", p)})
		}
		for _, item := range list {
			for _, one := range branches(item) {
				all = append(all, readStatement(one))
			}
		}
	}
	return all
}

// branches are the values that Fn::If chooses from, or the value itself, without AWS::NoValue.
func branches(v any) []any {
	m, _ := v.(map[string]any)
	if choice, ok := m["Fn::If"].([]any); ok && len(choice) == 3 {
		return append(branches(choice[1]), branches(choice[2])...)
	}
	if m["Ref"] == "AWS::NoValue" {
		return nil
	}
	return []any{v}
}

func readStatement(v any) (st statement) {
	m, _ := v.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains([]string{"Sid", "Effect", "Action", "Resource"}, name) {
			st.problem = "a statement with " + name + " is not one that names what it allows"
		}
	}
	if m["Effect"] != "Allow" || m["Action"] == nil || m["Resource"] == nil {
		st.problem = "a statement allows actions on resources"
	}
	st.actions, st.resources = texts(m["Action"]), texts(m["Resource"])
	return st
}

// texts are one or more values as written.
func texts(v any) (all []string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, item := range list {
		for _, one := range branches(item) {
			all = append(all, written(one))
		}
	}
	return all
}

// written is the short form of a value: X for !Ref X, X.Arn for !GetAtt X.Arn, and the text
// of !Sub.
func written(v any) string {
	m, _ := v.(map[string]any)
	if get, ok := m["Fn::GetAtt"].([]any); ok && len(get) == 2 {
		return fmt.Sprintf("%v.%v", get...)
	}
	for _, name := range []string{"Ref", "Fn::Sub"} {
		if m[name] != nil {
			return fmt.Sprint(m[name])
		}
	}
	return fmt.Sprint(v)
}

// mentioned are the logical ids that a tree names, each once.
func mentioned(tree any) (ids []string) {
	data, _ := json.Marshal(tree)
	named := regexp.MustCompile(`"Ref":"([^"]+)"|"Fn::GetAtt":\["([^"]+)"|\$\{([A-Za-z0-9]+)[.}]`)
	for _, m := range named.FindAllStringSubmatch(string(data), -1) {
		ids = append(ids, m[1]+m[2]+m[3])
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func sameSet(a, b []string) bool {
	a, b = slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b)))
	return slices.Equal(a, b)
}
