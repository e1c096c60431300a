// Package iam holds functions to the rights of their roles in template.yaml, on
// the laptop and in tests: what a function asks of DynamoDB, Step Functions or SQS
// is refused as AWS refuses it unless the function's role allows it.
//
// Of IAM it knows the rights that template.Function has: actions that are allowed
// on resources, both named in full. Rights to services that are not emulated are
// not its business.
package iam

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/krosai/telephony/emulator/template"
)

// Roles are the rights of every function. They are read-only and safe for
// concurrent use.
type Roles struct {
	functions map[string]role // by folder
	used      func(function string, r template.Right)
}

type role struct {
	template.Function
	allowed map[template.Right]bool
}

// New makes the roles of functions. A right to DynamoDB, Step Functions or SQS with
// a wildcard is an error. used, unless it is nil, is told of each right that is
// made use of; it must be safe for concurrent use.
func New(functions []template.Function, used func(function string, r template.Right)) (*Roles, error) {
	roles := &Roles{functions: map[string]role{}, used: used}
	for _, f := range functions {
		if strings.Count(f.ARN, ":") < 6 {
			return nil, fmt.Errorf("%s has no ARN of a function: %q", f.LogicalID, f.ARN)
		}
		one := role{f, map[template.Right]bool{}}
		for _, right := range f.Rights {
			if !Emulated(right) {
				continue
			}
			if strings.ContainsAny(right.Action+right.Resource, "*?") {
				return nil, fmt.Errorf("%s may %s on %s: wildcards are not supported", f.LogicalID, right.Action, right.Resource)
			}
			one.allowed[right] = true
		}
		roles.functions[f.Folder] = one
	}
	return roles, nil
}

// Emulated reports whether a right is to a service whose requests Guard sees.
func Emulated(r template.Right) bool {
	service, _, _ := strings.Cut(r.Action, ":")
	return slices.Contains([]string{"dynamodb", "states", "sqs"}, service)
}

type functionKey struct{}

// As makes requests under ctx with the rights of a function, named by its folder.
// Requests of nobody, under a context without a name, are not held to any.
func As(ctx context.Context, function string) context.Context {
	return context.WithValue(ctx, functionKey{}, function)
}

// Guard passes to next what functions may ask, and answers the rest as AWS does:
// status 400 and AccessDeniedException.
//
// machineOf tells the state machine that gave out a task token, whose ARN is the
// resource of states:SendTaskSuccess and its like (the Service Authorization
// Reference names none, but AWS's refusals do). Where it is nil, or does not know
// the token, any machine that the role names will do.
func (r *Roles) Guard(next http.RoundTripper, machineOf func(token string) string) http.RoundTripper {
	return guard{r, next, machineOf}
}

type guard struct {
	*Roles
	next      http.RoundTripper
	machineOf func(token string) string
}

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	function, _ := r.Context().Value(functionKey{}).(string)
	if function == "" {
		return g.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close() // the RoundTripper contract; it has been read
	if err != nil {
		return nil, err
	}
	role, ok := g.functions[function]
	if !ok {
		return nil, fmt.Errorf("iam: there is no function %q", function)
	}
	needs, err := g.needs(role, r.Header.Get("X-Amz-Target"), body)
	if err != nil {
		return nil, fmt.Errorf("rights of %s: %w", function, err)
	}
	for _, need := range needs {
		if !role.allowed[need] {
			return refuse(r, role, need), nil
		}
	}
	if g.used != nil {
		for _, need := range needs {
			g.used(function, need)
		}
	}
	passed := r.Clone(r.Context())
	passed.Body = io.NopCloser(bytes.NewReader(body))
	return g.next.RoundTrip(passed)
}

// request is what a request says of the resources it is about.
type request struct {
	TableName, IndexName string
	RequestItems         map[string]any                          // by table
	TransactItems        []map[string]struct{ TableName string } // by kind
	StateMachineArn      string
	TaskToken            string
	QueueUrl, QueueName  string
	StreamArn            string
}

// needs are the rights that a request takes (Service Authorization Reference,
// Amazon DynamoDB, AWS Step Functions and Amazon SQS). A transaction takes those of its
// parts. The rights of Lambda's pollers are not needed here: they are not a function's.
func (g guard) needs(role role, target string, body []byte) ([]template.Right, error) {
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	service, operation, _ := strings.Cut(target, ".")
	switch service {
	case "AWSStepFunctions":
		return []template.Right{g.needOfWorkflow(role, operation, q)}, nil
	case "AmazonSQS":
		// A batch takes the right to what it has many of.
		queue := q.QueueName + q.QueueUrl[strings.LastIndex(q.QueueUrl, "/")+1:]
		return []template.Right{{Action: "sqs:" + strings.TrimSuffix(operation, "Batch"), Resource: role.queues() + queue}}, nil
	case "DynamoDBStreams_20120810":
		return []template.Right{{Action: "dynamodb:" + operation, Resource: q.StreamArn}}, nil
	}
	need := func(action, table string) template.Right {
		return template.Right{Action: "dynamodb:" + action, Resource: role.tables() + table}
	}
	var needs []template.Right
	for table := range q.RequestItems {
		needs = append(needs, need(operation, table))
	}
	for _, part := range q.TransactItems {
		for kind, of := range part { // Get, Put, Update, Delete, ConditionCheck
			needs = append(needs, need(kind+"Item", of.TableName))
		}
	}
	switch {
	case len(needs) > 0:
		return needs, nil
	case q.IndexName != "":
		return append(needs, need(operation, q.TableName+"/index/"+q.IndexName)), nil
	}
	return append(needs, need(operation, q.TableName)), nil
}

func (g guard) needOfWorkflow(role role, operation string, q request) template.Right {
	need := template.Right{Action: "states:" + operation, Resource: q.StateMachineArn}
	if q.TaskToken == "" {
		return need
	}
	if g.machineOf != nil {
		need.Resource = g.machineOf(q.TaskToken)
	}
	for _, right := range role.Rights {
		if need.Resource == "" && right.Action == need.Action {
			need.Resource = right.Resource
		}
	}
	return need
}

// tables begins the ARNs of the tables in the function's account and region.
func (r role) tables() string {
	return fmt.Sprintf("arn:%s:dynamodb:%s:%s:table/", r.part(1), r.part(3), r.part(4))
}

// queues begins the ARNs of the queues in the function's account and region.
func (r role) queues() string {
	return fmt.Sprintf("arn:%s:sqs:%s:%s:", r.part(1), r.part(3), r.part(4))
}

// part returns the nth part of the function's ARN, counted from 0: arn, partition, lambda, region,
// account.
func (r role) part(n int) string { return strings.SplitN(r.ARN, ":", 6)[n] }

// refuse answers as AWS does where nothing allows what a role asks.
func refuse(r *http.Request, role role, need template.Right) *http.Response {
	user := fmt.Sprintf("arn:%s:sts::%s:assumed-role/%sRole/%s", role.part(1), role.part(4), role.LogicalID, role.Name)
	body, _ := json.Marshal(map[string]string{
		"__type": "com.amazon.coral.service#AccessDeniedException",
		"Message": fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %[2]s action",
			user, need.Action, need.Resource),
	})
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader(body)), Request: r}
}
