package stepfunctions_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
)

// one makes a definition of one state, S, from its fields.
func one(fields string) string { return `{"StartAt":"S","States":{"S":{` + fields + `}}}` }

// task makes a definition of one Task state from what it has beyond the
// ordinary.
func task(fields string) string {
	return one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload.$":"$"},"End":true` + fields)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := open(t, stepfunctions.Options{Invoke: noFunction})
	pass := `"Type":"Pass","End":true`
	for name, c := range map[string]struct{ definition, want string }{
		"not JSON":           {`{`, "not JSON: unexpected EOF"},
		"two values":         {`{} {}`, "not JSON: more than one JSON value"},
		"an array":           {`[]`, "definition: must be an object"},
		"field twice":        {`{"StartAt":"S","StartAt":"S"}`, "StartAt: the field is there twice"},
		"top-level field":    {`{"Foo":1,"StartAt":"S","States":{"S":{` + pass + `}}}`, "Foo: unsupported field"},
		"version":            {`{"Version":"2.0","StartAt":"S","States":{"S":{` + pass + `}}}`, `Version: only "1.0" exists`},
		"JSONata":            {`{"QueryLanguage":"JSONata","StartAt":"S","States":{"S":{` + pass + `}}}`, "QueryLanguage: unsupported query language JSONata"},
		"JSONata in a state": {one(pass + `,"QueryLanguage":"JSONata"`), "States.S.QueryLanguage: unsupported query language JSONata"},
		"JSONata output":     {one(pass + `,"Output":"{% 1 %}"`), "States.S.Output: unsupported field"},
		"variables":          {one(pass + `,"Assign":{"a":1}`), "States.S.Assign: unsupported field"},
		"no StartAt target":  {`{"StartAt":"T","States":{"S":{` + pass + `}}}`, "StartAt: no state is called \"T\"\nStates.S: no transition leads to this state"},
		"no Next target":     {one(`"Type":"Pass","Next":"T"`), "States.S.Next: no state is called \"T\"\nStates: no state ends the machine"},
		"unreachable":        {`{"StartAt":"S","States":{"S":{` + pass + `},"T":{` + pass + `}}}`, "States.T: no transition leads to this state"},
		"endless":            {one(`"Type":"Pass","Next":"S"`), "States: no state ends the machine"},
		"Next and End":       {one(pass + `,"Next":"S"`), "States.S: needs either Next or End"},
		"neither":            {one(`"Type":"Pass"`), "States.S: needs either Next or End"},
		"Parallel":           {one(`"Type":"Parallel","Branches":[],"End":true`), `States.S.Type: unsupported state type "Parallel"`},
		"no type":            {one(`"End":true`), "States.S.Type: missing"},
		"long name":          {strings.ReplaceAll(one(pass), `"S"`, `"`+strings.Repeat("n", 81)+`"`), "States." + strings.Repeat("n", 81) + ": a state's name has 1 to 80 characters"},
		"unknown field":      {task(`,"Foo":1`), "States.S.Foo: unsupported field"},
		"credentials":        {task(`,"Credentials":{}`), "States.S.Credentials: unsupported field"},
		"several":            {task(`,"Foo":1,"Bar":2`), "States.S.Bar: unsupported field\nStates.S.Foo: unsupported field"},

		"resource":             {one(`"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage","Parameters":{"FunctionName":"f"},"End":true`), "States.S.Resource: unsupported resource arn:aws:states:::sqs:sendMessage"},
		"no parameters":        {one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","End":true`), "States.S.Parameters: missing: FunctionName is required"},
		"no function":          {one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"Payload":1},"End":true`), "States.S.Parameters.FunctionName: missing"},
		"empty function":       {one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":""},"End":true`), "States.S.Parameters.FunctionName: must be a string that is not empty"},
		"InvocationType":       {one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","InvocationType":"Event"},"End":true`), "States.S.Parameters.InvocationType: unsupported field"},
		"two payloads":         {one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload":1,"Payload.$":"$"},"End":true`), "States.S.Parameters: takes only one of Payload, Payload.$\nStates.S.Parameters: both Payload and Payload.$"},
		"no token":             {one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Parameters":{"FunctionName":"f"},"End":true`), "States.S.Parameters: does not pass $$.Task.Token, so nothing could ever complete the task"},
		"heartbeat":            {task(`,"HeartbeatSeconds":3`), "States.S.HeartbeatSeconds: only a task that waits for its token can send heartbeats"},
		"two time-outs":        {task(`,"TimeoutSeconds":3,"TimeoutSecondsPath":"$.t"`), "States.S: takes only one of TimeoutSeconds, TimeoutSecondsPath"},
		"no time":              {task(`,"TimeoutSeconds":0`), "States.S.TimeoutSeconds: must be a number of at least 1 and at most 9.9999999e+07 (whole: true)"},
		"part of a second":     {task(`,"TimeoutSeconds":1.5`), "States.S.TimeoutSeconds: must be a number of at least 1 and at most 9.9999999e+07 (whole: true)"},
		"wildcard":             {task(`,"InputPath":"$.a[*]"`), `States.S.InputPath: "$.a[*]" is not a supported path: [*] is unsupported: only a plain index or a quoted name`},
		"wildcard field":       {task(`,"InputPath":"$.*"`), `States.S.InputPath: "$.*" is not a supported path: "*" in a field name is unsupported`},
		"filter":               {task(`,"OutputPath":"$.a[?(@.b==1)]"`), `States.S.OutputPath: "$.a[?(@.b==1)]" is not a supported path: [?(@.b==1)] is unsupported: only a plain index or a quoted name`},
		"slice":                {task(`,"InputPath":"$.a[0:2]"`), `States.S.InputPath: "$.a[0:2]" is not a supported path: [0:2] is unsupported: only a plain index or a quoted name`},
		"negative index":       {task(`,"InputPath":"$.a[-1]"`), `States.S.InputPath: "$.a[-1]" is not a supported path: [-1] is unsupported: only a plain index or a quoted name`},
		"recursive":            {task(`,"InputPath":"$..a"`), `States.S.InputPath: "$..a" is not a supported path: recursive descent is unsupported`},
		"no dollar":            {task(`,"InputPath":"a"`), `States.S.InputPath: "a" is not a path: it must begin with $`},
		"ends with a dot":      {task(`,"InputPath":"$.a."`), `States.S.InputPath: "$.a." is not a supported path: empty field name`},
		"open quote":           {task(`,"InputPath":"$['a"`), `States.S.InputPath: "$['a" is not a supported path: quoted field name without an end`},
		"ResultPath context":   {task(`,"ResultPath":"$$.Task"`), "States.S.ResultPath: cannot write into the context object"},
		"template not a path":  {task(`,"ResultSelector":{"a.$":1}`), "States.S.ResultSelector.a.$: must be a path or an intrinsic function"},
		"unknown intrinsic":    {task(`,"ResultSelector":{"a":[{"b.$":"States.MathRandom(1,2)"}]}`), `States.S.ResultSelector.a[0].b.$: "States.MathRandom(1,2)" is neither a path nor a supported intrinsic function: unsupported function "States.MathRandom"`},
		"intrinsic arity":      {task(`,"ResultSelector":{"b.$":"States.MathAdd(1)"}`), `States.S.ResultSelector.b.$: "States.MathAdd(1)" is neither a path nor a supported intrinsic function: States.MathAdd does not take 1 arguments`},
		"intrinsic syntax":     {task(`,"ResultSelector":{"b.$":"States.MathAdd(1, 2"}`), `States.S.ResultSelector.b.$: "States.MathAdd(1, 2" is neither a path nor a supported intrinsic function: expected a comma or a parenthesis before ""`},
		"intrinsic tail":       {task(`,"ResultSelector":{"b.$":"States.UUID()x"}`), `States.S.ResultSelector.b.$: "States.UUID()x" is neither a path nor a supported intrinsic function: unexpected "x"`},
		"path in an intrinsic": {task(`,"ResultSelector":{"b.$":"States.Array($.a[*])"}`), `States.S.ResultSelector.b.$: "States.Array($.a[*])" is neither a path nor a supported intrinsic function: "$.a[*]" is not a supported path: [*] is unsupported: only a plain index or a quoted name`},

		"ALL with others":   {task(`,"Retry":[{"ErrorEquals":["States.ALL","A"]}]`), "States.S.Retry[0].ErrorEquals: States.ALL must stand alone and in the last entry"},
		"ALL first":         {task(`,"Retry":[{"ErrorEquals":["States.ALL"]},{"ErrorEquals":["A"]}]`), "States.S.Retry[0].ErrorEquals: States.ALL must stand alone and in the last entry"},
		"unknown States.":   {task(`,"Retry":[{"ErrorEquals":["States.Foo"]}]`), `States.S.Retry[0].ErrorEquals: "States.Foo" is not the name of an error`},
		"no errors":         {task(`,"Retry":[{"ErrorEquals":[]}]`), "States.S.Retry[0].ErrorEquals: needs at least one error name"},
		"retry field":       {task(`,"Retry":[{"ErrorEquals":["A"],"Max":1}]`), "States.S.Retry[0].Max: unsupported field"},
		"retry backoff":     {task(`,"Retry":[{"ErrorEquals":["A"],"BackoffRate":0.5}]`), "States.S.Retry[0].BackoffRate: must be a number of at least 1 and at most 1.7976931348623157e+308 (whole: false)"},
		"retry interval":    {task(`,"Retry":[{"ErrorEquals":["A"],"IntervalSeconds":0}]`), "States.S.Retry[0].IntervalSeconds: must be a number of at least 1 and at most 9.9999999e+07 (whole: true)"},
		"retry attempts":    {task(`,"Retry":[{"ErrorEquals":["A"],"MaxAttempts":-1}]`), "States.S.Retry[0].MaxAttempts: must be a number of at least 0 and at most 9.9999999e+07 (whole: true)"},
		"retry delay":       {task(`,"Retry":[{"ErrorEquals":["A"],"IntervalSeconds":5,"MaxDelaySeconds":5}]`), "States.S.Retry[0].MaxDelaySeconds: must be greater than IntervalSeconds"},
		"retry jitter":      {task(`,"Retry":[{"ErrorEquals":["A"],"JitterStrategy":"SOME"}]`), "States.S.Retry[0].JitterStrategy: is FULL or NONE"},
		"retry not a list":  {task(`,"Retry":{}`), "States.S.Retry: must be an array"},
		"catch field":       {task(`,"Catch":[{"ErrorEquals":["A"],"Next":"S","OutputPath":"$"}]`), "States.S.Catch[0].OutputPath: unsupported field"},
		"catch target":      {task(`,"Catch":[{"ErrorEquals":["A"],"Next":"T"}]`), `States.S.Catch[0].Next: no state is called "T"`},
		"catch without it":  {task(`,"Catch":[{"ErrorEquals":["A"]}]`), "States.S.Catch[0].Next: missing"},
		"retry on a Pass":   {one(pass + `,"Retry":[]`), "States.S.Retry: unsupported field"},
		"ResultSelector on": {one(pass + `,"ResultSelector":{}`), "States.S.ResultSelector: unsupported field"},

		"wait for nothing":  {one(`"Type":"Wait","End":true`), "States.S: needs one of Seconds, SecondsPath, Timestamp and TimestampPath"},
		"wait for two":      {one(`"Type":"Wait","Seconds":1,"SecondsPath":"$.s","End":true`), "States.S: takes only one of Seconds, SecondsPath, Timestamp, TimestampPath"},
		"wait for a word":   {one(`"Type":"Wait","Timestamp":"noon","End":true`), "States.S.Timestamp: is not an RFC 3339 timestamp"},
		"succeed with Next": {one(`"Type":"Succeed","Next":"S"`), "States.S.Next: unsupported field"},
		"fail with output":  {one(`"Type":"Fail","OutputPath":"$"`), "States.S.OutputPath: unsupported field"},
		"fail with both":    {one(`"Type":"Fail","Error":"a","ErrorPath":"$.a"`), "States.S: takes only one of Error, ErrorPath"},

		"no choices":        {one(`"Type":"Choice","Choices":[],"Default":"S"`), "States.S.Choices: needs at least one rule"},
		"unknown operator":  {one(`"Type":"Choice","Choices":[{"Variable":"$.a","StringContains":"b","Next":"S"}]`), "States.S.Choices[0]: needs exactly one comparison, And, Or or Not\nStates.S.Choices[0].StringContains: unsupported field\nStates.S.Choices[0].Variable: unsupported field"},
		"two operators":     {one(`"Type":"Choice","Choices":[{"Variable":"$.a","StringEquals":"b","NumericEquals":1,"Next":"S"}]`), "States.S.Choices[0]: needs exactly one comparison, And, Or or Not"},
		"wrong operand":     {one(`"Type":"Choice","Choices":[{"Variable":"$.a","NumericEquals":"1","Next":"S"}]`), "States.S.Choices[0].NumericEquals: needs a numeric"},
		"no variable":       {one(`"Type":"Choice","Choices":[{"IsNull":true,"Next":"S"}]`), "States.S.Choices[0].Variable: missing"},
		"Next inside And":   {one(`"Type":"Choice","Choices":[{"And":[{"Variable":"$.a","IsNull":true,"Next":"S"}],"Next":"S"}]`), "States.S.Choices[0].And[0].Next: unsupported field"},
		"IsNullPath":        {one(`"Type":"Choice","Choices":[{"Variable":"$.a","IsNullPath":"$.b","Next":"S"}]`), "States.S.Choices[0]: needs exactly one comparison, And, Or or Not\nStates.S.Choices[0].IsNullPath: unsupported field\nStates.S.Choices[0].Variable: unsupported field"},
		"StringMatchesPath": {one(`"Type":"Choice","Choices":[{"Variable":"$.a","StringMatchesPath":"$.b","Next":"S"}]`), "States.S.Choices[0]: needs exactly one comparison, And, Or or Not\nStates.S.Choices[0].StringMatchesPath: unsupported field\nStates.S.Choices[0].Variable: unsupported field"},
		"Choice with End":   {one(`"Type":"Choice","End":true,"Choices":[{"Variable":"$.a","IsNull":true,"Next":"S"}]`), "States.S.End: unsupported field"},

		"Iterator":          {one(`"Type":"Map","Iterator":{},"End":true,"ItemProcessor":{"StartAt":"T","States":{"T":{` + pass + `}}}`), "States.S.Iterator: unsupported field: use ItemProcessor"},
		"distributed":       {one(`"Type":"Map","End":true,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED"},"StartAt":"T","States":{"T":{` + pass + `}}}`), "States.S.ItemProcessor.ProcessorConfig.Mode: unsupported mode DISTRIBUTED"},
		"item reader":       {one(`"Type":"Map","End":true,"ItemReader":{},"ItemProcessor":{"StartAt":"T","States":{"T":{` + pass + `}}}`), "States.S.ItemReader: unsupported field"},
		"same name within":  {one(`"Type":"Map","End":true,"ItemProcessor":{"StartAt":"A","States":{"A":{"Type":"Map","End":true,"ItemProcessor":{"StartAt":"A","States":{"A":{` + pass + `}}}}}}`), "States.S.ItemProcessor.States.A.ItemProcessor.States.A: another state has this name"},
		"target outside":    {one(`"Type":"Map","End":true,"ItemProcessor":{"StartAt":"T","States":{"T":{"Type":"Pass","Next":"S"}}}`), `States.S.ItemProcessor.States.T.Next: no state is called "S"` + "\nStates.S.ItemProcessor.States: no state ends the machine"},
		"Map in processor":  {one(`"Type":"Map","End":true,"ItemProcessor":{"StartAt":"T","States":{"T":{` + pass + `,"Foo":1}}}`), "States.S.ItemProcessor.States.T.Foo: unsupported field"},
		"processor comment": {one(`"Type":"Map","End":true,"ItemProcessor":{"Foo":1,"StartAt":"T","States":{"T":{` + pass + `}}}`), "States.S.ItemProcessor.Foo: unsupported field"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s.Load("m", []byte(c.definition))
			if err == nil {
				t.Fatal("was loaded")
			}
			if d := cmp.Diff(c.want, strings.TrimPrefix(err.Error(), "state machine m: ")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLoadRefusesNames(t *testing.T) {
	t.Parallel()
	s := open(t, stepfunctions.Options{Invoke: noFunction})
	for _, name := range []string{"", "a b", "a/b", "a:b", "a#b", "é\u0085", strings.Repeat("a", 81)} {
		if _, err := s.Load(name, []byte(one(`"Type":"Succeed"`))); err == nil {
			t.Errorf("%q was loaded", name)
		}
	}
}

func TestSubstitute(t *testing.T) {
	t.Parallel()
	values := map[string]string{"A": `x"\y`, "B_2": "${A}", "N": "30"}
	for name, c := range map[string]struct{ asl, want, fault string }{
		"filled":         {asl: `{"a":"${A}-${B_2}","n":${N}}`, want: `{"a":"x\"\\y-${A}","n":30}`},
		"unfilled":       {asl: `{"a":"${A}${C}${D}"}`, fault: "no value for the placeholder ${C}\nno value for the placeholder ${D}"},
		"without an end": {asl: `{"a":"${A"}`, fault: "no value for the placeholder ${A"},
		"nothing to do":  {asl: `{"a.$":"$.b","c":"States.Format('{}')"}`, want: `{"a.$":"$.b","c":"States.Format('{}')"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := stepfunctions.Substitute([]byte(c.asl), values)
			if c.fault != "" {
				if fmt.Sprint(err) != c.fault || got != nil {
					t.Errorf("got %s, %v", got, err)
				}
				return
			}
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}
