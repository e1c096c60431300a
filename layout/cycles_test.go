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
// routes, because SAM writes them into its definition.
func TestTemplateHasNoCycle(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	after := references(string(data))
	if !slices.Contains(after["CallMachine"], "PrepareCallFunction") || !slices.Contains(after["Api"], "HealthFunction") {
		t.Fatalf("the references were not found: %v", after)
	}
	if circle := cycle(after); circle != nil {
		t.Errorf("template.yaml goes in a circle: %s", strings.Join(circle, " → "))
	}
}

// references are the resources that each resource refers to.
func references(template string) map[string][]string {
	_, resources, _ := strings.Cut(template, "\nResources:\n")
	resources, _, _ = strings.Cut(resources, "\nOutputs:\n")
	names := regexp.MustCompile(`(?m)^  ([A-Za-z0-9]+):`)
	refers := regexp.MustCompile(`!Ref (\w+)|!GetAtt (\w+)|\$\{(\w+)[.}]`)
	after := map[string][]string{}
	starts := names.FindAllStringSubmatchIndex(resources, -1)
	for i, at := range starts {
		end := len(resources)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		name := resources[at[2]:at[3]]
		own, events, _ := strings.Cut(resources[at[0]:end], "\n      Events:\n")
		for _, found := range refers.FindAllStringSubmatch(own, -1) {
			after[name] = append(after[name], found[1]+found[2]+found[3])
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
	for template, want := range map[string]int{
		head + "  A:\n    x: !Ref B\n  B:\n    x: !GetAtt C.Arn\n":                                                           0,
		head + "  A:\n    x: !Ref B\n  B:\n    x: !Sub ${A.Arn}/index\n":                                                     3,
		head + "  A:\n    x: !Sub https://${Api}\n      Events:\n        R: {ApiId: !Ref Api}\n          Type: HttpApi\n":    3,
		head + "  A:\n    x: 1\n      Events:\n        R: {ApiId: !Ref Api}\n          Type: HttpApi\n  B:\n    x: !Ref Api": 0,
	} {
		if got := cycle(references(template)); len(got) != want {
			t.Errorf("%s\n%v, want %d", template, got, want)
		}
	}
}
