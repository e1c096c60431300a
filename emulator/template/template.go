// Package template reads template.yaml, the AWS SAM template, so that the
// laptop platform and the tests run the routes, tables, functions, workflows,
// schedules, queues and event source mappings that are deployed, and no second
// list of them exists.
//
// It resolves Ref, Fn::GetAtt, Fn::Sub, Fn::Join and Fn::If in their long and
// short forms, and conditions made of Fn::Equals and Fn::Not. It guesses
// nothing: any other function or condition is an error.
package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Template is a parsed template.yaml whose references are resolved. It is
// read-only and safe for concurrent use.
type Template struct {
	routes    []Route
	fallback  string
	tables    []Table
	functions []Function
	machines  []StateMachine
	schedules []Schedule
	queues    []Queue
	sources   []Source
}

// Route is one route of the HTTP API.
type Route struct {
	Method   string // GET, or ANY
	Path     string // /outbound-calls/{call_id}/details; {proxy+} takes the rest
	Function string // the folder under functions/
	Public   bool   // answers callers without a credential; the template says why
}

// Key is API Gateway's name of the route, as events carry it in routeKey.
func (r Route) Key() string { return r.Method + " " + r.Path }

// Table is a DynamoDB table. TTLAttribute is empty when nothing in it expires.
type Table struct {
	Create       *dynamodb.CreateTableInput
	TTLAttribute string
}

// Function is one Lambda function.
type Function struct {
	LogicalID   string            // CreateCallFunction
	Folder      string            // createcall: the folder under functions/
	Name        string            // the deployed name
	ARN         string            // as the state machines call it
	Timeout     time.Duration     // after which Lambda ends it
	MemoryMB    int               // of which Lambda derives the CPU share
	Environment map[string]string // without what only deployment knows
	Public      string            // why it answers without a credential; empty when it does not
	Rights      []Right           // of its role, in the template's order
}

// Right is one action that a role may do to one resource. Neither is checked
// for wildcards.
type Right struct {
	Action   string // dynamodb:PutItem
	Resource string // an ARN
}

// StateMachine is one Step Functions state machine.
type StateMachine struct {
	LogicalID  string
	Name       string
	ARN        string
	Definition []byte // Amazon States Language, substitutions made
}

// Schedule is one EventBridge rule with a fixed rate.
type Schedule struct {
	Name     string // of the event in the template
	Function string // the folder under functions/
	Every    time.Duration
}

// Values are what deployment would provide: parameters by name, and the pseudo
// parameters AWS::StackName, AWS::Region, AWS::AccountId and AWS::Partition.
// A parameter that is missing takes its default; AWS::StackName is kros unless
// given.
type Values map[string]string

// Open reads the template at path. State machine definitions are read from
// beside it; one that does not exist is an error.
func Open(path string, values Values) (*Template, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := parse(data, filepath.Dir(path), values)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return t, nil
}

// Routes are the HTTP API's routes, ordered by path and method.
func (t *Template) Routes() []Route { return slices.Clone(t.routes) }

// Fallback is the function, by its folder, of the route $default: the requests that no
// other route takes. It is empty without one.
func (t *Template) Fallback() string { return t.fallback }

// Tables are the DynamoDB tables, ordered by logical id.
func (t *Template) Tables() []Table { return slices.Clone(t.tables) }

// Functions are the Lambda functions, ordered by logical id.
func (t *Template) Functions() []Function { return slices.Clone(t.functions) }

// StateMachines are the state machines, ordered by logical id.
func (t *Template) StateMachines() []StateMachine { return slices.Clone(t.machines) }

// Schedules are the functions called at a fixed rate, ordered by function.
func (t *Template) Schedules() []Schedule { return slices.Clone(t.schedules) }

func parse(data []byte, dir string, values Values) (*Template, error) {
	doc, err := Decode(data)
	if err != nil {
		return nil, err
	}
	r, err := newResolver(doc, values)
	if err != nil {
		return nil, err
	}
	t := &Template{}
	for _, id := range slices.Sorted(maps.Keys(r.resources)) {
		if err := t.add(r, id, dir); err != nil {
			return nil, fmt.Errorf("resource %s: %w", id, err)
		}
	}
	slices.SortFunc(t.routes, func(a, b Route) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return t, nil
}

func (t *Template) add(r *resolver, id, dir string) error {
	switch r.resources[id].Type {
	case typeTable:
		return t.addTable(r, id)
	case typeFunction:
		return t.addFunction(r, id)
	case typeStateMachine:
		return t.addStateMachine(r, id, dir)
	case typeQueue:
		return t.addQueue(r, id)
	}
	return nil
}

func (t *Template) addTable(r *resolver, id string) error {
	var ttl struct {
		TimeToLiveSpecification struct {
			AttributeName string
			Enabled       bool
		}
	}
	if err := r.properties(id, &ttl, "TimeToLiveSpecification"); err != nil {
		return err
	}
	// CloudFormation and the API name these five alike; the other properties
	// (encryption, recovery) exist only where the table really is AWS's.
	create := &dynamodb.CreateTableInput{}
	err := r.properties(id, create, "TableName", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
	if err != nil {
		return err
	}
	var stream struct{ StreamSpecification map[string]any }
	if err := r.properties(id, &stream, "StreamSpecification"); err != nil {
		return err
	}
	if stream.StreamSpecification != nil {
		create.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true)}
		var p struct{ StreamViewType types.StreamViewType }
		if err := strictly(stream.StreamSpecification, &p); err != nil {
			return fmt.Errorf("StreamSpecification: %w", err)
		}
		create.StreamSpecification.StreamViewType = p.StreamViewType
	}
	table := Table{Create: create}
	if ttl.TimeToLiveSpecification.Enabled {
		table.TTLAttribute = ttl.TimeToLiveSpecification.AttributeName
	}
	t.tables = append(t.tables, table)
	return nil
}

type functionProperties struct {
	FunctionName string
	Timeout      int
	MemorySize   int
	Events       map[string]struct {
		Type       string
		Properties map[string]any
	}
	Policies []policy
}

func (t *Template) addFunction(r *resolver, id string) error {
	folder, ok := Folder(id)
	if !ok {
		return errors.New("the logical id of a function ends in Function")
	}
	var p functionProperties
	err := r.properties(id, &p, "FunctionName", "Timeout", "MemorySize", "Events", "Policies")
	if err != nil {
		return err
	}
	arn, err := r.arn(id)
	if err != nil {
		return err
	}
	rights, err := rightsOf(p.Policies)
	if err != nil {
		return err
	}
	fn := Function{
		LogicalID: id, Folder: folder, Name: p.FunctionName, ARN: arn,
		Timeout: time.Duration(p.Timeout) * time.Second, MemoryMB: p.MemorySize,
		Environment: r.environment(id), Public: r.resources[id].Metadata.Public,
		Rights: rights,
	}
	t.functions = append(t.functions, fn)
	for _, name := range slices.Sorted(maps.Keys(p.Events)) {
		if err := t.addEvent(fn, name, p.Events[name].Type, p.Events[name].Properties); err != nil {
			return fmt.Errorf("event %s: %w", name, err)
		}
	}
	return nil
}

// addEvent adds what invokes a function.
func (t *Template) addEvent(fn Function, name, kind string, properties map[string]any) error {
	var p struct{ Method, Path, Schedule string }
	if err := convert(properties, &p); err != nil {
		return err
	}
	switch kind {
	case "HttpApi":
		switch {
		case p.Method == "" && p.Path == "" && t.fallback == "":
			t.fallback = fn.Folder
			return nil
		case p.Method == "" || p.Path == "":
			return errors.New("a route has a method and a path, and the one for all other requests neither")
		}
		t.routes = append(t.routes, Route{Method: strings.ToUpper(p.Method), Path: p.Path, Function: fn.Folder, Public: fn.Public != ""})
	case "Schedule":
		every, err := rate(p.Schedule)
		if err != nil {
			return err
		}
		t.schedules = append(t.schedules, Schedule{Name: name, Function: fn.Folder, Every: every})
	case "DynamoDB", "SQS":
		return t.addSource(fn.Folder, name, kind, properties)
	default:
		return fmt.Errorf("type %q is not supported", kind)
	}
	return nil
}

// Folder is the folder under functions/ that a function's logical id stands
// for: CreateCallFunction is createcall. It reports false for an id that does
// not end in Function.
func Folder(logicalID string) (string, bool) {
	name, ok := strings.CutSuffix(logicalID, "Function")
	return strings.ToLower(name), ok && name != ""
}

func (t *Template) addStateMachine(r *resolver, id, dir string) error {
	var p struct {
		Name                    string
		DefinitionURI           string `json:"DefinitionUri"`
		DefinitionSubstitutions map[string]string
	}
	err := r.properties(id, &p, "Name", "DefinitionUri", "DefinitionSubstitutions")
	if err != nil {
		return err
	}
	arn, err := r.arn(id)
	if err != nil {
		return err
	}
	asl, err := os.ReadFile(filepath.Join(dir, p.DefinitionURI))
	if err != nil {
		return err
	}
	pairs := make([]string, 0, 2*len(p.DefinitionSubstitutions))
	for name, value := range p.DefinitionSubstitutions {
		if !strings.Contains(string(asl), "${"+name+"}") {
			return fmt.Errorf("%s does not use ${%s}", p.DefinitionURI, name)
		}
		pairs = append(pairs, "${"+name+"}", value)
	}
	text := strings.NewReplacer(pairs...).Replace(string(asl))
	if i := strings.Index(text, "${"); i >= 0 {
		name, _, _ := strings.Cut(text[i:], "}")
		return fmt.Errorf("%s: nothing replaces %s}", p.DefinitionURI, name)
	}
	if !json.Valid([]byte(text)) {
		return fmt.Errorf("%s is not JSON", p.DefinitionURI)
	}
	t.machines = append(t.machines, StateMachine{LogicalID: id, Name: p.Name, ARN: arn, Definition: []byte(text)})
	return nil
}

// rate reads EventBridge's rate(1 minute), rate(5 minutes), rate(1 hour)….
func rate(expression string) (time.Duration, error) {
	var n int
	var unit string
	inner, ok := strings.CutPrefix(expression, "rate(")
	inner, closed := strings.CutSuffix(inner, ")")
	if count, err := fmt.Sscanf(inner, "%d %s", &n, &unit); !ok || !closed || err != nil || count != 2 || n < 1 {
		return 0, fmt.Errorf("schedule %q is not a rate", expression)
	}
	units := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	singular := strings.TrimSuffix(unit, "s")
	if d, ok := units[singular]; ok && (n == 1) == (singular == unit) {
		return time.Duration(n) * d, nil
	}
	return 0, fmt.Errorf("schedule %q: the unit is minute(s), hour(s) or day(s), singular for 1", expression)
}
