package layout

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTemplateHasNoCycle: CloudFormation creates a resource after the resources that it refers to,
// and refuses a stack with circular references. An HTTP API is created after the functions of its
// routes, because SAM writes them into its definition. Its stage, with the stage variables, is a
// resource of its own, created after the API. The console's client depends on that: it needs the
// API's address, and functions read its id from the stage.
func TestTemplateHasNoCycle(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	after := references(string(data))
	if !slices.Contains(after["CallMachine"], "PrepareCallFunction") || !slices.Contains(after["Api"], "HealthFunction") ||
		!slices.Contains(after["HealthFunction"], "UserPoolClient") || !slices.Contains(after[stage], "ConsoleClient") {
		t.Fatalf("the references were not found: %v", after)
	}
	if circle := cycle(after); circle != nil {
		t.Errorf("template.yaml goes in a circle: %s", strings.Join(circle, " → "))
	}
}

// stage is the resource that SAM makes of the stage of the HTTP API.
const stage = "ApiApiGatewayDefaultStage"

// references are the resources that each resource refers to. A function refers also to what Globals
// refer to.
func references(template string) map[string][]string {
	before, resources, _ := strings.Cut(template, "\nResources:\n")
	_, globals, _ := strings.Cut(before, "\nGlobals:\n")
	resources, _, _ = strings.Cut(resources, "\nOutputs:\n")
	names := regexp.MustCompile(`(?m)^  ([A-Za-z0-9]+):`)
	refers := regexp.MustCompile(`!Ref (\w+)|!GetAtt (\w+)|\$\{(\w+)[.}]`)
	variables := regexp.MustCompile(`(?m)^      StageVariables:.*$`)
	after := map[string][]string{stage: {"Api"}}
	starts := names.FindAllStringSubmatchIndex(resources, -1)
	for i, at := range starts {
		end := len(resources)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		name := resources[at[2]:at[3]]
		own, events, _ := strings.Cut(resources[at[0]:end], "\n      Events:\n")
		refer := func(from, text string) {
			for _, found := range refers.FindAllStringSubmatch(text, -1) {
				after[from] = append(after[from], found[1]+found[2]+found[3])
			}
		}
		refer(name, variables.ReplaceAllString(own, ""))
		refer(stage, variables.FindString(own))
		if strings.Contains(own, "Type: AWS::Serverless::Function\n") {
			refer(name, globals)
		}
		if strings.Contains(events, "Type: HttpApi") {
			after["Api"] = append(after["Api"], name)
		}
	}
	return after
}

// cycle is a circle of references, or nil.
func cycle(after map[string][]string) []string {
	done := map[string]bool{}
	var path []string
	var walk func(name string) []string
	walk = func(name string) []string {
		if i := slices.Index(path, name); i >= 0 {
			return append(slices.Clone(path[i:]), name)
		}
		if done[name] {
			return nil
		}
		path = append(path, name)
		for _, next := range after[name] {
			if circle := walk(next); circle != nil {
				return circle
			}
		}
		path, done[name] = path[:len(path)-1], true
		return nil
	}
	for name := range after {
		if circle := walk(name); circle != nil {
			return circle
		}
	}
	return nil
}

// TestCycle proves that the check finds the mistakes that it is for.
func TestCycle(t *testing.T) {
	t.Parallel()
	const head = "\nResources:\n  Api:\n    Type: x\n"
	const function = "  A:\n    Type: AWS::Serverless::Function\n    Properties:\n      Events:\n        R: {ApiId: !Ref Api}\n          Type: HttpApi\n"
	for template, want := range map[string]int{
		head + "  A:\n    x: !Ref B\n  B:\n    x: !GetAtt C.Arn\n":                                                           0,
		head + "  A:\n    x: !Ref B\n  B:\n    x: !Sub ${A.Arn}/index\n":                                                     3,
		head + "  A:\n    x: !Sub https://${Api}\n      Events:\n        R: {ApiId: !Ref Api}\n          Type: HttpApi\n":    3,
		head + "  A:\n    x: 1\n      Events:\n        R: {ApiId: !Ref Api}\n          Type: HttpApi\n  B:\n    x: !Ref Api": 0,
		"\nGlobals:\n  x: !Ref B\n" + head + function + "  B:\n    x: !Ref Api":                                              4,
		"\nGlobals:\n  x: !Ref B\n" + head + function + "  B:\n    x: y":                                                     0,
		head + "      StageVariables: {B: !Ref B}\n" + function + "  B:\n    x: !Ref Api":                                    0,
		head + "      StageVariables: {B: !Ref B}\n" + function + "  B:\n    x: !Ref ApiApiGatewayDefaultStage":              3,
	} {
		if got := cycle(references(template)); len(got) != want {
			t.Errorf("%s\n%v, want %d", template, got, want)
		}
	}
}
