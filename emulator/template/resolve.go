package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
)

const (
	typeFunction     = "AWS::Serverless::Function"
	typeStateMachine = "AWS::Serverless::StateMachine"
	typeTable        = "AWS::DynamoDB::Table"
	typeSecret       = "AWS::SecretsManager::Secret"
	typeQueue        = "AWS::SQS::Queue"
)

type resource struct {
	Type       string
	Condition  string
	Metadata   struct{ Public string }
	Properties map[string]any
}

// resolver answers what CloudFormation would put in place of references.
type resolver struct {
	resources  map[string]resource // without those whose condition is false
	conditions map[string]any
	globals    map[string]any // of functions
	values     Values         // parameters and pseudo parameters
}

// noValue is what AWS::NoValue resolves to: whatever has it is left out.
type noValue struct{}

func newResolver(doc any, given Values) (*resolver, error) {
	var t struct {
		Parameters map[string]struct{ Default any }
		Conditions map[string]any
		Globals    struct{ Function map[string]any }
		Resources  map[string]resource
	}
	if err := convert(doc, &t); err != nil {
		return nil, err
	}
	values := Values{
		"AWS::Partition": "aws", "AWS::Region": "us-east-1",
		"AWS::AccountId": "000000000000", "AWS::StackName": "kros", "AWS::URLSuffix": "amazonaws.com",
	}
	for name, p := range t.Parameters {
		if p.Default != nil {
			values[name] = fmt.Sprint(p.Default)
		}
	}
	maps.Copy(values, given)
	r := &resolver{resources: t.Resources, conditions: t.Conditions, globals: t.Globals.Function, values: values}
	return r, r.leaveOut()
}

// leaveOut forgets the resources that are not made under these parameters.
func (r *resolver) leaveOut() error {
	for id, res := range r.resources {
		if res.Condition == "" {
			continue
		}
		made, err := r.condition(res.Condition)
		if err != nil {
			return fmt.Errorf("resource %s: %w", id, err)
		}
		if !made {
			delete(r.resources, id)
		}
	}
	return nil
}

// convert moves a decoded tree into a struct by way of JSON.
func convert(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

// properties fills out with the named properties of a resource, references
// resolved. A function's come from Globals where it does not set them.
func (r *resolver) properties(id string, out any, names ...string) error {
	res := r.resources[id]
	picked := make(map[string]any, len(names))
	for _, name := range names {
		v, ok := res.Properties[name]
		if res.Type == typeFunction {
			if global, has := r.globals[name]; has {
				v, ok = inherit(global, v), true
			}
		}
		if !ok {
			continue
		}
		resolved, err := r.resolve(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if resolved != (noValue{}) {
			picked[name] = resolved
		}
	}
	return convert(picked, out)
}

// environment is a function's environment variables but for those whose value
// depends on a parameter that was not given.
func (r *resolver) environment(id string) map[string]string {
	var e struct{ Variables map[string]any }
	if err := convert(inherit(r.globals["Environment"], r.resources[id].Properties["Environment"]), &e); err != nil {
		return nil
	}
	known := make(map[string]string, len(e.Variables))
	for name, v := range e.Variables {
		if resolved, err := r.resolve(v); err == nil && resolved != (noValue{}) {
			known[name] = fmt.Sprint(resolved)
		}
	}
	return known
}

// inherit is SAM's rule for Globals: maps are merged, anything else that the
// resource sets replaces the global value.
func inherit(global, own any) any {
	g, globalMap := global.(map[string]any)
	o, ownMap := own.(map[string]any)
	switch {
	case own == nil:
		return global
	case !globalMap || !ownMap:
		return own
	}
	merged := maps.Clone(g)
	for k, v := range o {
		merged[k] = inherit(g[k], v)
	}
	return merged
}

func (r *resolver) resolve(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			resolved, err := r.resolve(item)
			if err != nil {
				return nil, err
			}
			if resolved != (noValue{}) {
				out = append(out, resolved)
			}
		}
		return out, nil
	case map[string]any:
		if name, arg, ok := function(v); ok {
			return r.intrinsic(name, arg)
		}
		out := make(map[string]any, len(v))
		for k, item := range v {
			resolved, err := r.resolve(item)
			if err != nil {
				return nil, err
			}
			if resolved != (noValue{}) {
				out[k] = resolved
			}
		}
		return out, nil
	}
	return v, nil
}

// function tells a reference or another intrinsic function from a map of data.
func function(m map[string]any) (name string, arg any, ok bool) {
	for name, arg := range m {
		if len(m) == 1 && (name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::")) {
			return name, arg, true
		}
	}
	return "", nil, false
}

func (r *resolver) intrinsic(name string, arg any) (any, error) {
	switch name {
	case "Ref":
		id, _ := arg.(string)
		if id == "AWS::NoValue" {
			return noValue{}, nil
		}
		return r.ref(id)
	case "Fn::If":
		return r.choose(arg)
	case "Fn::GetAtt":
		if list, ok := arg.([]any); ok && len(list) == 2 {
			return r.attribute(fmt.Sprint(list[0]), fmt.Sprint(list[1]))
		}
	case "Fn::Sub":
		if text, ok := arg.(string); ok {
			return r.substitute(text)
		}
	case "Fn::Join":
		return r.join(arg)
	}
	return nil, fmt.Errorf("%s of %v is not supported", name, arg)
}

// choose is Fn::If: a condition's name, what it gives when true and when false.
func (r *resolver) choose(arg any) (any, error) {
	list, ok := arg.([]any)
	if !ok || len(list) != 3 {
		return nil, errors.New("Fn::If takes a condition and two values")
	}
	name, _ := list[0].(string)
	met, err := r.condition(name)
	switch {
	case err != nil:
		return nil, err
	case met:
		return r.resolve(list[1])
	}
	return r.resolve(list[2])
}

func (r *resolver) condition(name string) (bool, error) {
	expression, ok := r.conditions[name]
	if !ok {
		return false, fmt.Errorf("%q is no condition", name)
	}
	met, err := r.holds(expression)
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", name, err)
	}
	return met, nil
}

// holds evaluates Fn::Equals, Fn::Not, Fn::And, and Condition, which names another one.
func (r *resolver) holds(expression any) (bool, error) {
	m, _ := expression.(map[string]any)
	name, named := m["Condition"].(string)
	not, negated := m["Fn::Not"].([]any)
	and, joined := m["Fn::And"].([]any)
	equals, compared := m["Fn::Equals"].([]any)
	switch {
	case len(m) != 1:
	case named:
		return r.condition(name)
	case negated && len(not) == 1:
		met, err := r.holds(not[0])
		return !met, err
	case joined:
		for _, one := range and {
			if met, err := r.holds(one); !met || err != nil {
				return false, err
			}
		}
		return true, nil
	case compared && len(equals) == 2:
		both, err := r.resolve(equals)
		if err != nil {
			return false, err
		}
		sides := both.([]any)
		return len(sides) == 2 && fmt.Sprint(sides[0]) == fmt.Sprint(sides[1]), nil
	}
	return false, fmt.Errorf("%v is not supported", expression)
}

func (r *resolver) join(arg any) (string, error) {
	var parts []any
	list, ok := arg.([]any)
	if ok && len(list) == 2 {
		parts, ok = list[1].([]any)
	}
	if !ok || parts == nil {
		return "", errors.New("Fn::Join takes a delimiter and a list")
	}
	texts := make([]string, len(parts))
	for i, part := range parts {
		v, err := r.resolve(part)
		if err != nil {
			return "", err
		}
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, fmt.Sprint(list[0])), nil
}

// substitute replaces ${Name}, ${Name.Attribute} and ${AWS::Region}; ${!x}
// stands for ${x} itself.
func (r *resolver) substitute(text string) (string, error) {
	var failure error
	out := regexp.MustCompile(`\$\{[^}]*\}`).ReplaceAllStringFunc(text, func(found string) string {
		name := found[2 : len(found)-1]
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		var v string
		var err error
		if id, attribute, ok := strings.Cut(name, "."); ok {
			v, err = r.attribute(id, attribute)
		} else {
			v, err = r.ref(name)
		}
		failure = errors.Join(failure, err)
		return v
	})
	return out, failure
}

// ref is what Ref gives: a parameter's value, or what the resource's type
// calls its name.
func (r *resolver) ref(id string) (string, error) {
	if v, ok := r.values[id]; ok {
		return v, nil
	}
	switch res, ok := r.resources[id]; {
	case !ok:
		return "", fmt.Errorf("%q is neither a resource nor a parameter with a value", id)
	case res.Type == typeStateMachine || res.Type == typeSecret:
		return r.arn(id)
	case res.Type == typeTable || res.Type == typeFunction:
		return r.name(id)
	case res.Type == typeQueue:
		name, err := r.name(id)
		if err != nil {
			return "", err
		}
		return r.substitute("https://sqs.${AWS::Region}.${AWS::URLSuffix}/${AWS::AccountId}/" + name)
	}
	return id, nil
}

func (r *resolver) attribute(id, attribute string) (string, error) {
	res, ok := r.resources[id]
	switch {
	case ok && attribute == "Arn":
		return r.arn(id)
	case ok && attribute == "QueueName" && res.Type == typeQueue:
		return r.name(id)
	case ok && attribute == "StreamArn" && res.Type == typeTable && res.Properties["StreamSpecification"] != nil:
		arn, err := r.arn(id)
		return arn + streamSuffix, err
	}
	return "", fmt.Errorf("attribute %s of %s is not known before deployment", attribute, id)
}

// name is the resource's own name. A resource without one would get a name
// that only deployment knows.
func (r *resolver) name(id string) (string, error) {
	res := r.resources[id]
	property := map[string]string{typeFunction: "FunctionName", typeTable: "TableName", typeStateMachine: "Name", typeSecret: "Name", typeQueue: "QueueName"}[res.Type]
	v, err := r.resolve(res.Properties[property])
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", property, id, err)
	}
	name, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s has no %s: its name is not known before deployment", id, property)
	}
	return name, nil
}

// arn is the resource's ARN; a secret's is without the six characters that
// deployment appends.
func (r *resolver) arn(id string) (string, error) {
	kind := r.resources[id].Type
	service, ok := map[string]string{
		typeFunction:     "lambda:${AWS::Region}:${AWS::AccountId}:function:",
		typeTable:        "dynamodb:${AWS::Region}:${AWS::AccountId}:table/",
		typeStateMachine: "states:${AWS::Region}:${AWS::AccountId}:stateMachine:",
		typeQueue:        "sqs:${AWS::Region}:${AWS::AccountId}:",
		typeSecret:       "secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:",
	}[kind]
	if !ok {
		return "", fmt.Errorf("the ARN of %s, a %s, is not known before deployment", id, kind)
	}
	name, err := r.name(id)
	if err != nil {
		return "", err
	}
	return r.substitute("arn:${AWS::Partition}:" + service + name)
}
