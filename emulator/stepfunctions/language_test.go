package stepfunctions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
)

// functions are the Lambda functions of the table below.
func functions(_ context.Context, name string, payload []byte) ([]byte, error) {
	switch name {
	case "f", "echo":
		return payload, nil
	case "silent":
		return nil, nil
	case "words":
		return []byte("not JSON"), nil
	case "large":
		return []byte(`"` + strings.Repeat("x", 256<<10) + `"`), nil
	case "broken":
		return nil, &stepfunctions.FunctionError{Type: "Broken", Message: "it <broke>"}
	}
	return noFunction(context.Background(), name, nil)
}

// pass is a state S that ends the machine with its parameters.
func pass(fields string) string { return one(`"Type":"Pass","End":true` + fields) }

// mapping is a Map state S over items that runs one state, T.
func mapping(fields, t string) string {
	return one(`"Type":"Map","End":true,"ItemProcessor":{"StartAt":"T","States":{"T":{` + t + `}}}` + fields)
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	const (
		echoed  = `"ExecutedVersion":"$LATEST","StatusCode":200,"SdkHttpMetadata":{"HttpStatusCode":200}`
		onState = "An error occurred while executing the state 'S' (entered at the event id #2). "
	)
	big := `"` + strings.Repeat("x", 250<<10) + `"`
	for name, c := range map[string]struct {
		definition, input string
		output            string // JSON, or
		fault, cause      string
	}{
		"pass":                    {definition: pass(``), input: `{"a":[1,2.50,1e400,"<&>"]}`, output: `{"a":[1,2.50,1e400,"<&>"]}`},
		"input of another type":   {definition: pass(``), input: `7`, output: `7`},
		"InputPath":               {definition: pass(`,"InputPath":"$.a"`), input: `{"a":{"b":1}}`, output: `{"b":1}`},
		"InputPath index":         {definition: pass(`,"InputPath":"$.a[1].b"`), input: `{"a":[0,{"b":5}]}`, output: `5`},
		"InputPath quoted":        {definition: pass(`,"InputPath":"$['a b']['it\\'s'][0]"`), input: `{"a b":{"it's":[3]}}`, output: `3`},
		"InputPath null":          {definition: pass(`,"InputPath":null,"ResultPath":"$.r"`), input: `{"a":1}`, output: `{"a":1,"r":{}}`},
		"InputPath context":       {definition: pass(`,"InputPath":"$$.Execution.Name"`), input: `{"a":1}`, output: `"x"`},
		"InputPath missing":       {definition: pass(`,"InputPath":"$.b"`), input: `{"a":1}`, fault: "States.Runtime", cause: onState + `The JSONPath '$.b' could not be found in the input '{"a":1}'`},
		"OutputPath":              {definition: pass(`,"OutputPath":"$.a"`), input: `{"a":2}`, output: `2`},
		"OutputPath null":         {definition: pass(`,"OutputPath":null`), input: `{"a":2}`, output: `{}`},
		"OutputPath missing":      {definition: pass(`,"OutputPath":"$.b"`), input: `{"a":2}`, fault: "States.Runtime", cause: onState + `The JSONPath '$.b' could not be found in the input '{"a":2}'`},
		"Result":                  {definition: pass(`,"Result":{"a.$":"as it is"}`), input: `1`, output: `{"a.$":"as it is"}`},
		"Result null":             {definition: pass(`,"Result":null`), input: `1`, output: `null`},
		"ResultPath":              {definition: pass(`,"Result":1,"ResultPath":"$.a.b.c"`), input: `{"a":{"d":2}}`, output: `{"a":{"d":2,"b":{"c":1}}}`},
		"ResultPath index":        {definition: pass(`,"Result":1,"ResultPath":"$.a[1]"`), input: `{"a":[0,0]}`, output: `{"a":[0,1]}`},
		"ResultPath outside":      {definition: pass(`,"Result":1,"ResultPath":"$.a[2]"`), input: `{"a":[0,0]}`, fault: "States.ResultPathMatchFailure", cause: onState + "ResultPath: [2] is not an element of an array"},
		"ResultPath in the way":   {definition: pass(`,"Result":1,"ResultPath":"$.a.b"`), input: `{"a":1}`, fault: "States.ResultPathMatchFailure", cause: onState + `ResultPath: "b" cannot be set in a value that is not an object`},
		"ResultPath null":         {definition: pass(`,"Result":1,"ResultPath":null`), input: `{"a":1}`, output: `{"a":1}`},
		"ResultPath is raw input": {definition: pass(`,"InputPath":"$.a","ResultPath":"$.r"`), input: `{"a":1}`, output: `{"a":1,"r":1}`},
		"Parameters":              {definition: pass(`,"Parameters":{"a.$":"$.x","b":{"c.$":"$$.Execution.Input.y[0]"},"d":[{"e.$":"$"},1,null]}`), input: `{"x":1,"y":[2]}`, output: `{"a":1,"b":{"c":2},"d":[{"e":{"x":1,"y":[2]}},1,null]}`},
		"Parameters missing":      {definition: pass(`,"Parameters":{"a":{"b.$":"$.x"}}`), input: `{"y":1}`, fault: "States.Runtime", cause: onState + `The JSONPath '$.x' specified for the field 'b.$' could not be found in the input '{"y":1}'`},
		"context":                 {definition: pass(`,"Parameters":{"c.$":"$$"}`), input: `{"i":1}`, output: `{"c":{"Execution":{"Id":"arn:aws:states:us-east-1:000000000000:execution:m:x","Name":"x","Input":{"i":1},"RoleArn":"arn:aws:iam::000000000000:role/StepFunctions","StartTime":"2000-01-01T00:00:00.000Z","RedriveCount":0},"State":{"Name":"S","EnteredTime":"2000-01-01T00:00:00.000Z","RetryCount":0},"StateMachine":{"Id":"arn:aws:states:us-east-1:000000000000:stateMachine:m","Name":"m"}}}`},
		"no token in context":     {definition: pass(`,"Parameters":{"t.$":"$$.Task.Token"}`), input: `1`, fault: "States.Runtime"},

		"Format":             {definition: pass(`,"Parameters":{"a.$":"States.Format('{} \\{\\} it\\'s {}', $.n, $.o)"}`), input: `{"n":"A","o":{"p":1}}`, output: `{"a":"A {} it's {\"p\":1}"}`},
		"Format arguments":   {definition: pass(`,"Parameters":{"a.$":"States.Format('{}{}', 1)"}`), input: `1`, fault: "States.IntrinsicFailure", cause: onState + "States.Format: fewer arguments than places in the template"},
		"StringToJson":       {definition: pass(`,"Parameters":{"a.$":"States.StringToJson($.s)"}`), input: `{"s":"{\"b\":[1]}"}`, output: `{"a":{"b":[1]}}`},
		"StringToJson fails": {definition: pass(`,"Parameters":{"a.$":"States.StringToJson($.s)"}`), input: `{"s":"{"}`, fault: "States.IntrinsicFailure", cause: onState + "States.StringToJson: unexpected EOF"},
		"JsonToString":       {definition: pass(`,"Parameters":{"a.$":"States.JsonToString($.s)"}`), input: `{"s":{"b":"<"}}`, output: `{"a":"{\"b\":\"<\"}"}`},
		"Array":              {definition: pass(`,"Parameters":{"a.$":"States.Array(1, 'two, 2)', true, null, $['x,y'], States.Array())"}`), input: `{"x,y":5}`, output: `{"a":[1,"two, 2)",true,null,5,[]]}`},
		"ArrayLength":        {definition: pass(`,"Parameters":{"a.$":"States.ArrayLength($.l)"}`), input: `{"l":[1,2]}`, output: `{"a":2}`},
		"ArrayLength fails":  {definition: pass(`,"Parameters":{"a.$":"States.ArrayLength($.l)"}`), input: `{"l":{}}`, fault: "States.IntrinsicFailure", cause: onState + "States.ArrayLength: the argument must be an array"},
		"ArrayContains":      {definition: pass(`,"Parameters":{"a.$":"States.ArrayContains($.l, 1)","b.$":"States.ArrayContains($.l, '1')","c.$":"States.ArrayContains($.l, $.o)"}`), input: `{"l":[1.0,{"k":[2]}],"o":{"k":[2]}}`, output: `{"a":true,"b":false,"c":true}`},
		"ArrayGetItem":       {definition: pass(`,"Parameters":{"a.$":"States.ArrayGetItem($.l, States.MathAdd($.i, -1))"}`), input: `{"l":["a","b"],"i":2}`, output: `{"a":"b"}`},
		"ArrayGetItem fails": {definition: pass(`,"Parameters":{"a.$":"States.ArrayGetItem($, 2)"}`), input: `[1,2]`, fault: "States.IntrinsicFailure", cause: onState + "States.ArrayGetItem: index 2 is outside the array"},
		"MathAdd fails":      {definition: pass(`,"Parameters":{"a.$":"States.MathAdd($, 1)"}`), input: `2147483647`, fault: "States.IntrinsicFailure", cause: onState + "States.MathAdd: the sum is outside 32 bits"},
		"JsonMerge":          {definition: pass(`,"Parameters":{"a.$":"States.JsonMerge($.x, $.y, false)"}`), input: `{"x":{"a":1,"b":{"c":1}},"y":{"b":{"d":2}}}`, output: `{"a":{"a":1,"b":{"d":2}}}`},
		"JsonMerge deep":     {definition: pass(`,"Parameters":{"a.$":"States.JsonMerge($, $, true)"}`), input: `{}`, fault: "States.IntrinsicFailure", cause: onState + "States.JsonMerge: only shallow merging (false) is supported"},
		"Hash":               {definition: pass(`,"Parameters":{"a.$":"States.Hash('abc', 'SHA-1')","b.$":"States.Hash('abc', 'MD5')","c.$":"States.Hash('abc', 'SHA-256')"}`), input: `1`, output: `{"a":"a9993e364706816aba3e25717850c26c9cd0d89d","b":"900150983cd24fb0d6963f7d28e17f72","c":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}`},

		"task":                       {definition: task(``), input: `{"a":1}`, output: `{"Payload":{"a":1},` + echoed + `}`},
		"task without payload":       {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName.$":"$.f"},"End":true`), input: `{"f":"echo"}`, output: `{"Payload":{},` + echoed + `}`},
		"task by ARN":                {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"arn:aws:lambda:eu-west-1:1:function:echo:$LATEST","Payload":"p"},"End":true`), input: `1`, output: `{"Payload":"p",` + echoed + `}`},
		"task without a name":        {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName.$":"$.f"},"End":true`), input: `{"f":1}`, fault: "States.Runtime", cause: onState + "the value of FunctionName must be a string that is not empty"},
		"task with an empty reply":   {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"silent"},"OutputPath":"$.Payload","End":true`), input: `1`, output: `null`},
		"task with a text":           {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"words"},"OutputPath":"$.Payload","End":true`), input: `1`, output: `"not JSON"`},
		"all the fields":             {definition: task(`,"InputPath":"$.in","ResultSelector":{"got.$":"$.Payload.v","by.$":"$$.State.Name"},"ResultPath":"$.out","OutputPath":"$.out"`), input: `{"in":{"v":9}}`, output: `{"got":9,"by":"S"}`},
		"ResultSelector missing":     {definition: task(`,"ResultSelector":{"a.$":"$.Payload.b"}`), input: `{"v":9}`, fault: "States.Runtime"},
		"function error":             {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"broken"},"End":true`), input: `1`, fault: "Broken", cause: `{"errorMessage":"it <broke>","errorType":"Broken"}`},
		"unknown error":              {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"nobody"},"End":true`), input: `1`, fault: "Lambda.Unknown", cause: "no function is called nobody"},
		"large reply":                {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"large"},"End":true,"Catch":[{"ErrorEquals":["States.ALL"],"Next":"S"}]`), input: `1`, fault: "States.DataLimitExceeded"},
		"large parameters":           {definition: one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload.$":"States.Array($,$)"},"End":true`), input: big, fault: "States.DataLimitExceeded"},
		"large output":               {definition: pass(`,"Parameters":{"a.$":"States.Array($,$)"}`), input: big, fault: "States.DataLimitExceeded"},
		"large results of a Map":     {definition: mapping(``, `"Type":"Pass","InputPath":"$$.Execution.Input","End":true`), input: `[` + big + `,1]`, fault: "States.DataLimitExceeded"},
		"runtime errors are final":   {definition: task(`,"ResultSelector":{"a.$":"$.b"},"Retry":[{"ErrorEquals":["States.Runtime"]}],"Catch":[{"ErrorEquals":["States.Runtime"],"Next":"S"}]`), input: `1`, fault: "States.Runtime"},
		"intrinsic errors are not":   {definition: `{"StartAt":"S","States":{"S":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload.$":"States.StringToJson('{')"},"Catch":[{"ErrorEquals":["States.IntrinsicFailure"],"ResultPath":null,"Next":"T"}],"Next":"T"},"T":{"Type":"Succeed"}}}`, input: `1`, output: `1`},
		"caught data limit, by name": {definition: `{"StartAt":"S","States":{"S":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"large"},"Catch":[{"ErrorEquals":["States.TaskFailed"],"Next":"S"},{"ErrorEquals":["States.DataLimitExceeded"],"ResultPath":"$.e","Next":"T"}],"Next":"T"},"T":{"Type":"Pass","InputPath":"$.e.Error","End":true}}}`, input: `{}`, output: `"States.DataLimitExceeded"`},
		"Catch in order":             {definition: `{"StartAt":"S","States":{"S":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"broken"},"Catch":[{"ErrorEquals":["Other"],"Next":"A"},{"ErrorEquals":["X","Broken"],"ResultPath":"$.e","Next":"B"},{"ErrorEquals":["States.ALL"],"Next":"A"}],"Next":"A"},"A":{"Type":"Pass","Result":"A","End":true},"B":{"Type":"Pass","End":true}}}`, input: `{"k":1}`, output: `{"k":1,"e":{"Error":"Broken","Cause":"{\"errorMessage\":\"it <broke>\",\"errorType\":\"Broken\"}"}}`},
		"Catch that does not fit":    {definition: `{"StartAt":"S","States":{"S":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"broken"},"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"A"}],"Next":"A"},"A":{"Type":"Succeed"}}}`, input: `1`, fault: "States.ResultPathMatchFailure"},

		"Succeed":         {definition: one(`"Type":"Succeed","InputPath":"$.a","OutputPath":"$.b"`), input: `{"a":{"b":1}}`, output: `1`},
		"Fail":            {definition: one(`"Type":"Fail","Error":"E","Cause":"C"`), input: `1`, fault: "E", cause: "C"},
		"Fail, empty":     {definition: one(`"Type":"Fail"`), input: `1`, fault: ""},
		"Fail with paths": {definition: one(`"Type":"Fail","ErrorPath":"$.e","CausePath":"States.Format('{}!', $.c)"`), input: `{"e":"E","c":"C"}`, fault: "E", cause: "C!"},
		"Fail, no string": {definition: one(`"Type":"Fail","ErrorPath":"$.e"`), input: `{"e":1}`, fault: "States.Runtime", cause: onState + "ErrorPath and CausePath must give a string"},

		"Map":                    {definition: mapping(`,"ItemsPath":"$.l"`, `"Type":"Pass","End":true`), input: `{"l":[1,{"a":2},null]}`, output: `[1,{"a":2},null]`},
		"Map of nothing":         {definition: mapping(``, `"Type":"Pass","End":true`), input: `[]`, output: `[]`},
		"Map of no array":        {definition: mapping(``, `"Type":"Pass","End":true`), input: `{}`, fault: "States.Runtime", cause: onState + `Reference path "$" must point to array.`},
		"Map with everything":    {definition: mapping(`,"InputPath":"$.in","ItemsPath":"$.l","ItemSelector":{"v.$":"$$.Map.Item.Value","i.$":"$$.Map.Item.Index","k.$":"$.k"},"ResultSelector":{"all.$":"$"},"ResultPath":"$.r","OutputPath":"$.r"`, `"Type":"Pass","Parameters":{"x.$":"States.Array($.v,$.i,$.k,$$.Map.Item.Index,$$.Map.Item.Value)"},"End":true`), input: `{"in":{"l":["a","b"],"k":7}}`, output: `{"all":[{"x":["a",0,7,0,"a"]},{"x":["b",1,7,1,"b"]}]}`},
		"Map selector too large": {definition: mapping(`,"ItemSelector":{"a.$":"States.Array($,$)"}`, `"Type":"Pass","End":true`), input: `[` + big + `]`, fault: "States.DataLimitExceeded"},
		"Map in a Map":           {definition: mapping(``, `"Type":"Map","End":true,"ItemProcessor":{"StartAt":"U","States":{"U":{"Type":"Pass","InputPath":"$$.Map.Item.Index","End":true}}}`), input: `[[1,2],[]]`, output: `[[0,1],[]]`},
		"Map that fails":         {definition: mapping(``, `"Type":"Fail","Error":"E","Cause":"C"`), input: `[1]`, fault: "E", cause: "C"},
		"Map that is caught":     {definition: `{"StartAt":"S","States":{"S":{"Type":"Map","ItemProcessor":{"StartAt":"T","States":{"T":{"Type":"Fail","Error":"E"}}},"Catch":[{"ErrorEquals":["E"],"Next":"U"}],"End":true},"U":{"Type":"Pass","InputPath":"$.Error","End":true}}}`, input: `[1,2,3]`, output: `"E"`},
		"Map selector missing":   {definition: mapping(`,"ItemSelector":{"a.$":"$$.Map.Item.Value.b"}`, `"Type":"Pass","End":true`), input: `[{"b":1},{}]`, fault: "States.Runtime"},
		"comments are accepted":  {definition: `{"Comment":"c","Version":"1.0","QueryLanguage":"JSONPath","TimeoutSeconds":9,"StartAt":"S","States":{"S":{"Comment":"c","QueryLanguage":"JSONPath","Type":"Pass","End":true}}}`, input: `1`, output: `1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := open(t, stepfunctions.Options{Invoke: functions})
				f.load(c.definition)
				out := f.end(f.start("x", c.input))
				if c.output != "" {
					if out.Status != types.ExecutionStatusSucceeded {
						t.Fatalf("%s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
					}
					sameNumbers(t, c.output, aws.ToString(out.Output))
					return
				}
				if out.Status != types.ExecutionStatusFailed || aws.ToString(out.Error) != c.fault {
					t.Errorf("%s: %s", out.Status, aws.ToString(out.Error))
				}
				if c.cause != "" {
					if d := cmp.Diff(c.cause, aws.ToString(out.Cause)); d != "" {
						t.Error(d)
					}
				}
			})
		})
	}
}

// sameNumbers compares JSON as it is spelt, but for the order of members and
// spaces: a number must come out as it went in.
func sameNumbers(t *testing.T, want, got string) {
	t.Helper()
	canonical := func(text string) string {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		b, _ := json.Marshal(value)
		return string(b)
	}
	if d := cmp.Diff(canonical(want), canonical(got)); d != "" {
		t.Error(d)
	}
}

func TestUUID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, stepfunctions.Options{Invoke: functions})
		f.load(pass(`,"Parameters":{"a.$":"States.UUID()"}`))
		out := f.end(f.start("x", `1`))
		if !regexp.MustCompile(`^{"a":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"}$`).MatchString(aws.ToString(out.Output)) {
			t.Error(aws.ToString(out.Output))
		}
	})
}

func TestChoice(t *testing.T) {
	t.Parallel()
	const input = `{"s":"foo","t":"goo","n":5,"m":5.0,"b":true,"z":null,"at":"2024-01-01T00:00:00Z","same":"2024-01-01T01:00:00+01:00","star":"a*b","list":[]}`
	for rule, want := range map[string]string{
		`"Variable":"$.s","StringEquals":"foo"`:                                 "yes",
		`"Variable":"$.s","StringEquals":"Foo"`:                                 "no",
		`"Variable":"$.n","StringEquals":"5"`:                                   "no",
		`"Variable":"$.s","StringLessThan":"g"`:                                 "yes",
		`"Variable":"$.s","StringLessThan":"foo"`:                               "no",
		`"Variable":"$.s","StringGreaterThan":"f"`:                              "yes",
		`"Variable":"$.s","StringLessThanEquals":"foo"`:                         "yes",
		`"Variable":"$.s","StringGreaterThanEquals":"foo"`:                      "yes",
		`"Variable":"$.s","StringGreaterThanEquals":"fop"`:                      "no",
		`"Variable":"$.s","StringEqualsPath":"$.s"`:                             "yes",
		`"Variable":"$.s","StringEqualsPath":"$.n"`:                             "no",
		`"Variable":"$.s","StringLessThanPath":"$.t"`:                           "yes",
		`"Variable":"$.s","StringGreaterThanPath":"$.t"`:                        "no",
		`"Variable":"$.s","StringLessThanEqualsPath":"$.t"`:                     "yes",
		`"Variable":"$.s","StringGreaterThanEqualsPath":"$.t"`:                  "no",
		`"Variable":"$.s","StringMatches":"f*"`:                                 "yes",
		`"Variable":"$.s","StringMatches":"*o*o*"`:                              "yes",
		`"Variable":"$.s","StringMatches":"f?o"`:                                "no",
		`"Variable":"$.s","StringMatches":"f"`:                                  "no",
		`"Variable":"$.star","StringMatches":"a\\*b"`:                           "yes",
		`"Variable":"$.s","StringMatches":"f\\*"`:                               "no",
		`"Variable":"$.n","StringMatches":"*"`:                                  "no",
		`"Variable":"$.n","NumericEquals":5.0`:                                  "yes",
		`"Variable":"$.s","NumericEquals":5`:                                    "no",
		`"Variable":"$.n","NumericLessThan":5`:                                  "no",
		`"Variable":"$.n","NumericLessThan":5.1`:                                "yes",
		`"Variable":"$.n","NumericGreaterThan":4`:                               "yes",
		`"Variable":"$.n","NumericLessThanEquals":5`:                            "yes",
		`"Variable":"$.n","NumericGreaterThanEquals":6`:                         "no",
		`"Variable":"$.n","NumericEqualsPath":"$.m"`:                            "yes",
		`"Variable":"$.n","NumericLessThanPath":"$.m"`:                          "no",
		`"Variable":"$.n","NumericGreaterThanPath":"$.m"`:                       "no",
		`"Variable":"$.n","NumericLessThanEqualsPath":"$.m"`:                    "yes",
		`"Variable":"$.n","NumericGreaterThanEqualsPath":"$.m"`:                 "yes",
		`"Variable":"$.b","BooleanEquals":true`:                                 "yes",
		`"Variable":"$.b","BooleanEquals":false`:                                "no",
		`"Variable":"$.b","BooleanEqualsPath":"$.b"`:                            "yes",
		`"Variable":"$.s","BooleanEquals":false`:                                "no",
		`"Variable":"$.at","TimestampEquals":"2024-01-01T00:00:00Z"`:            "yes",
		`"Variable":"$.at","TimestampLessThan":"2024-01-01T00:00:01Z"`:          "yes",
		`"Variable":"$.at","TimestampGreaterThan":"2023-12-31T23:59:59.999Z"`:   "yes",
		`"Variable":"$.at","TimestampLessThanEquals":"2023-01-01T00:00:00Z"`:    "no",
		`"Variable":"$.at","TimestampGreaterThanEquals":"2024-01-01T00:00:00Z"`: "yes",
		`"Variable":"$.at","TimestampEqualsPath":"$.same"`:                      "yes",
		`"Variable":"$.at","TimestampLessThanPath":"$.same"`:                    "no",
		`"Variable":"$.at","TimestampGreaterThanPath":"$.same"`:                 "no",
		`"Variable":"$.at","TimestampLessThanEqualsPath":"$.same"`:              "yes",
		`"Variable":"$.at","TimestampGreaterThanEqualsPath":"$.same"`:           "yes",
		`"Variable":"$.s","TimestampEquals":"2024-01-01T00:00:00Z"`:             "no",
		`"Variable":"$.q","IsPresent":false`:                                    "yes",
		`"Variable":"$.z","IsPresent":true`:                                     "yes",
		`"Variable":"$.list[0]","IsPresent":true`:                               "no",
		`"Variable":"$.z","IsNull":true`:                                        "yes",
		`"Variable":"$.s","IsNull":false`:                                       "yes",
		`"Variable":"$.s","IsString":true`:                                      "yes",
		`"Variable":"$.n","IsString":true`:                                      "no",
		`"Variable":"$.n","IsNumeric":true`:                                     "yes",
		`"Variable":"$.b","IsBoolean":true`:                                     "yes",
		`"Variable":"$.at","IsTimestamp":true`:                                  "yes",
		`"Variable":"$.s","IsTimestamp":false`:                                  "yes",
		`"Variable":"$$.Execution.Name","StringEquals":"x"`:                     "yes",
		`"Not":{"Variable":"$.s","StringEquals":"foo"}`:                         "no",
		`"And":[{"Variable":"$.n","NumericEquals":5},{"Or":[{"Variable":"$.s","IsNull":true},{"Not":{"Variable":"$.b","BooleanEquals":false}}]}]`: "yes",
		`"And":[{"Variable":"$.q","IsPresent":true},{"Variable":"$.q","NumericEquals":5}]`:                                                        "no",
		`"Or":[{"Variable":"$.s","StringEquals":"foo"},{"Variable":"$.q","NumericEquals":5}]`:                                                     "yes",
		`"Or":[{"Variable":"$.s","StringEquals":"x"},{"Variable":"$.n","NumericEquals":6}]`:                                                       "no",
		`"Variable":"$.q","StringEquals":"foo"`:                                                                                                   "Invalid path '$.q'",
		`"Variable":"$.q","IsNull":true`:                                                                                                          "Invalid path '$.q'",
		`"Variable":"$.s","StringEqualsPath":"$.q"`:                                                                                               "Invalid path '$.q'",
		`"Not":{"Variable":"$.q","IsNumeric":false}`:                                                                                              "Invalid path '$.q'",
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := open(t, stepfunctions.Options{Invoke: noFunction})
				f.load(`{"StartAt":"S","States":{"S":{"Type":"Choice","Choices":[{` + rule + `,"Next":"Y"}],"Default":"N"},` +
					`"Y":{"Type":"Pass","Result":"yes","End":true},"N":{"Type":"Pass","Result":"no","End":true}}}`)
				out := f.end(f.start("x", input))
				if got := strings.Trim(aws.ToString(out.Output), `"`) + aws.ToString(out.Cause); !strings.Contains(got, want) || got == "" {
					t.Errorf("got %s, want %s", got, want)
				}
				if strings.HasPrefix(want, "Invalid") != (aws.ToString(out.Error) == "States.Runtime") {
					t.Errorf("error %s", aws.ToString(out.Error))
				}
			})
		})
	}
}

func TestNoChoiceMatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, stepfunctions.Options{Invoke: noFunction})
		f.load(`{"StartAt":"S","States":{"S":{"Type":"Choice","InputPath":"$.a","OutputPath":"$.b","Choices":[{"Variable":"$.b","NumericEquals":1,"Next":"T"}]},"T":{"Type":"Succeed"}}}`)
		if out := f.end(f.start("no", `{"a":{"b":2}}`)); out.Status != types.ExecutionStatusFailed || aws.ToString(out.Error) != "States.NoChoiceMatched" {
			t.Error(out.Status, aws.ToString(out.Error))
		}
		if out := f.end(f.start("yes", `{"a":{"b":1}}`)); aws.ToString(out.Output) != "1" {
			t.Error(aws.ToString(out.Output), aws.ToString(out.Cause))
		}
	})
}

func TestWait(t *testing.T) {
	t.Parallel()
	for fields, c := range map[string]struct {
		took  time.Duration
		cause string
	}{
		`"Seconds":90`:                              {took: 90 * time.Second},
		`"Seconds":0`:                               {},
		`"SecondsPath":"$.s"`:                       {took: 7 * time.Second},
		`"SecondsPath":"$.half"`:                    {cause: "$.half must be a whole number from 0 to 99999999, and is 0.5"},
		`"SecondsPath":"$.q"`:                       {cause: "'$.q' could not be found"},
		`"Timestamp":"2000-01-01T00:00:30.5Z"`:      {took: 30500 * time.Millisecond},
		`"Timestamp":"1999-01-01T00:00:00Z"`:        {},
		`"TimestampPath":"$.t"`:                     {took: time.Hour},
		`"TimestampPath":"$.s"`:                     {cause: "does not reference a valid ISO-8601"},
		`"InputPath":"$.in","SecondsPath":"$.s"`:    {took: 3 * time.Second},
		`"SecondsPath":"$.in.s","OutputPath":"$.s"`: {took: 3 * time.Second},
	} {
		t.Run(fields, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := open(t, stepfunctions.Options{Invoke: noFunction})
				f.load(one(`"Type":"Wait","End":true,` + fields))
				out := f.end(f.start("x", `{"s":7,"half":0.5,"t":"2000-01-01T02:00:00+01:00","in":{"s":3}}`))
				if c.cause != "" {
					if !strings.Contains(aws.ToString(out.Cause), c.cause) || aws.ToString(out.Error) != "States.Runtime" {
						t.Error(aws.ToString(out.Error), aws.ToString(out.Cause))
					}
					return
				}
				if got := out.StopDate.Sub(*out.StartDate); got != c.took || out.Status != types.ExecutionStatusSucceeded {
					t.Errorf("%s after %v, want %v", out.Status, got, c.took)
				}
			})
		})
	}
}

func TestMaxConcurrency(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]time.Duration{0: 2 * time.Second, 1: 50 * time.Second, 7: 8 * time.Second, 100: 2 * time.Second} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := open(t, stepfunctions.Options{Invoke: noFunction})
				f.load(mapping(fmt.Sprintf(`,"MaxConcurrency":%d`, limit), `"Type":"Wait","Seconds":1,"End":true`))
				out := f.end(f.start("x", `[`+strings.Repeat("1,", 49)+`1]`))
				if got := out.StopDate.Sub(*out.StartDate); got != want {
					t.Errorf("took %v, want %v", got, want)
				}
			})
		})
	}
}
