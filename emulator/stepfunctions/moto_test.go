package stepfunctions_test

import (
	"context"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/stepfunctions/moto"
)

var (
	motoSeed     = flag.Uint64("seed", 1, "what TestMoto draws its machines from")
	motoMachines = flag.Int("machines", 150, "how many machines TestMoto draws")
)

// A ran is an execution in the form in which two interpreters are compared.
type ran struct {
	Status string
	Error  string
	Output any
	Path   []string // the states, in the order in which they were entered
	Took   time.Duration
}

// motoDiffers are the differences between the emulator and moto's interpreter, each with its
// reason.
var motoDiffers = []struct {
	why   string
	meant func(definition string, ours, theirs ran) bool
}{
	{"a Choice whose variable is absent fails (Developer Guide, Choice state); moto takes the comparison for false", func(_ string, ours, _ ran) bool {
		return ours.Error == "States.Runtime" && strings.HasPrefix(ours.last(), "C")
	}},
	{"a SecondsPath gives a whole number or fails; moto waits for no time", func(_ string, ours, _ ran) bool {
		return ours.Error == "States.Runtime" && strings.HasPrefix(ours.last(), "W")
	}},
	{"an ItemsPath that gives no array is States.Runtime; States.QueryEvaluationError is of JSONata (Developer Guide, Error names)", func(_ string, ours, theirs ran) bool {
		return ours.Error == "States.Runtime" && theirs.Error == "States.QueryEvaluationError"
	}},
	{"an intrinsic function that fails is States.IntrinsicFailure; in moto it is an error of Python's", func(definition string, ours, theirs ran) bool {
		calls := strings.Contains(definition, "States.Array") || strings.Contains(definition, "States.StringToJson($.s)")
		return calls && (theirs.Error == "States.Runtime" || ours.last() == "Caught" && cmp.Equal(ours.Path, theirs.Path))
	}},
	{"a Choice of which no rule matches ends with States.NoChoiceMatched (Developer Guide, Error names)", func(_ string, ours, theirs ran) bool {
		return ours.Error == "States.NoChoiceMatched" && theirs.Error == "States.Runtime"
	}},
	{"States.Format writes an object as JSON; moto as {a=1}. The Developer Guide does not say", func(definition string, ours, theirs ran) bool {
		return strings.Contains(definition, "States.Format('{}', $.c)") && ours.Status == theirs.Status && cmp.Equal(ours.Path, theirs.Path)
	}},
}

// last is the state in which an execution has ended.
func (r ran) last() string { return r.Path[len(r.Path)-1] }

// TestMoto draws machines and has the emulator and moto's interpreter run them. They must end
// alike, with the same output or error, after the same states and the same time.
func TestMoto(t *testing.T) {
	t.Parallel()
	interpreter := moto.Start(t)
	differ, ends := map[string]int{}, map[string]int{}
	for i := range *motoMachines {
		d := motoDice{rand.New(rand.NewPCG(*motoSeed, uint64(i)))}
		e := moto.Execution{Definition: d.machine(), Input: string(mustJSON(d.value(0))), Script: map[string][]moto.Answer{}}
		for _, state := range []string{"T0", "T1", "T2", "T3"} {
			e.Script[state] = d.script()
		}
		theirs := interpreter.Run(t, e)
		if theirs.Refused != "" {
			t.Fatalf("moto refuses %s: %s", e.Definition, theirs.Refused)
		}
		got, want := ranOf(theirs), emulate(t, e)
		ends[want.Status+" "+want.Error]++
		diff := cmp.Diff(want, got)
		if diff == "" {
			continue
		}
		at := slices.IndexFunc(motoDiffers, func(m struct {
			why   string
			meant func(string, ran, ran) bool
		}) bool {
			return m.meant(e.Definition, want, got)
		})
		if at < 0 {
			t.Errorf("machine %d of seed %d: %s\ninput %s\nscript %s\n(-emulator +moto)\n%s\n%s", i, *motoSeed, e.Definition, e.Input, mustJSON(e.Script), diff, theirs.Cause)
			continue
		}
		differ[motoDiffers[at].why]++
	}
	t.Logf("seed %d: %d machines: %v; %v", *motoSeed, *motoMachines, ends, differ)
}

func ranOf(r moto.Result) ran {
	out := ran{Status: r.Status, Error: r.Error}
	if r.Output != "" {
		out.Output = unmarshal(r.Output)
	}
	for _, e := range r.Events {
		if strings.HasSuffix(e.Type, "StateEntered") {
			out.Path = append(out.Path, e.Name)
		}
	}
	out.Took = r.Events[len(r.Events)-1].At.Sub(r.Events[0].At).Round(time.Second)
	return out
}

// emulate runs an execution in the emulator.
func emulate(t *testing.T, e moto.Execution) (out ran) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var f *fixture
		script := map[string][]moto.Answer{}
		for state, answers := range e.Script {
			script[state] = slices.Clone(answers)
		}
		f = open(t, stepfunctions.Options{Rand: func() float64 { return 0.999999 }, Invoke: func(ctx context.Context, state string, payload []byte) ([]byte, error) {
			answer := moto.Answer{Echo: true}
			if left := script[state]; len(left) > 0 {
				answer, script[state] = left[0], left[1:]
			}
			switch {
			case answer.Hangs:
				<-ctx.Done()
				return nil, ctx.Err()
			case answer.Fails != "":
				return nil, &stepfunctions.FunctionError{Type: answer.Fails}
			case answer.Echo:
				return payload, nil
			}
			return answer.Says, nil
		}})
		f.load(e.Definition)
		arn := f.start("x", e.Input)
		end := f.end(arn)
		out = ran{Status: string(end.Status), Error: aws.ToString(end.Error)}
		if end.Status == types.ExecutionStatusSucceeded {
			out.Output = unmarshal(aws.ToString(end.Output))
		}
		events := f.history(arn)
		for _, event := range events {
			if d := event.StateEnteredEventDetails; d != nil {
				out.Path = append(out.Path, *d.Name)
			}
		}
		out.Took = events[len(events)-1].Timestamp.Sub(*events[0].Timestamp).Round(time.Second)
	})
	return out
}

func unmarshal(text string) (v any) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return "no JSON: " + text
	}
	return v
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // what is drawn can be written
	}
	return text
}

// motoDice draws machines of the part of the language that the emulator has.
type motoDice struct{ *rand.Rand }

func (d motoDice) chance(percent int) bool { return d.IntN(100) < percent }

func (d motoDice) pick(from ...string) string { return from[d.IntN(len(from))] }

type fields = map[string]any

// value draws an object with members a, b and c, or what may be in one.
func (d motoDice) value(depth int) any {
	if depth == 0 {
		return fields{"a": d.value(1), "b": d.value(1), "c": fields{"a": d.value(2), "b": d.value(2)}, "l": []any{d.value(2), d.value(2)}, "s": d.pick("x", "y", "x y"), "n": d.IntN(5), "f": d.chance(50)}
	}
	switch d.IntN(7 - depth) {
	case 0:
		return d.IntN(5)
	case 1:
		return d.pick("x", "y", "x y", "")
	case 2:
		return d.chance(50)
	case 3:
		return []any{d.IntN(5), d.pick("x", "y")}
	case 4:
		return nil
	}
	return fields{"a": d.IntN(5), "b": d.pick("x", "y")}
}

func (d motoDice) path() string {
	return d.pick("$", "$.a", "$.b", "$.c", "$.c.a", "$.c.b", "$.l", "$.l[0]", "$.l[1]", "$.s", "$.n", "$.f", "$.n", "$.s", "$.nowhere", "$$.State.Name", "$$.Execution.Input.n", "$['s']")
}

// template draws the value of Parameters and its like.
func (d motoDice) template() fields {
	out := fields{}
	for _, name := range []string{"a", "b", "c", "l", "s", "n", "f"} {
		switch n := d.IntN(8); {
		case n < 4 && d.chance(90):
			out[name+".$"] = map[string]string{"a": "$.a", "b": "$.b", "c": "$.c", "l": "$.l", "s": "$.s", "n": "$.n", "f": "$.f"}[name]
		case n == 4:
			out[name+".$"] = d.intrinsic()
		case n == 5:
			out[name] = fields{"x.$": d.path()}
		default:
			out[name] = d.value(1)
		}
	}
	return out
}

func (d motoDice) intrinsic() string {
	return d.pick("States.Format('{} and {}', $.s, $.n)", "States.Array($.s, $.n, 'x', 1)", "States.ArrayLength($.l)", "States.ArrayContains($.l, $.n)",
		"States.ArrayGetItem($.l, 1)", "States.MathAdd($.n, 1)", "States.JsonToString($.c)", "States.StringToJson('{\"q\":1}')", "States.JsonMerge($.c, $.c, false)",
		"States.Hash($.s, 'SHA-256')", "States.ArrayGetItem($.l, $.n)", "States.StringToJson($.s)", "States.Array()", "States.Format('{}', $.c)")
}

// machine draws a machine of up to seven states, in which a later state follows each.
func (d motoDice) machine() string {
	names := []string{"P0", "T0", "C0", "W0", "T1", "M0", "P1", "T2", "C1", "T3"}
	var chosen []string
	for _, name := range names {
		if d.chance(55) {
			chosen = append(chosen, name)
		}
	}
	chosen = append(chosen, "End")
	states := fields{"End": fields{"Type": "Succeed"}}
	if d.chance(25) {
		states["End"] = fields{"Type": "Fail", "Error": "Failed", "Cause": "as drawn"}
	}
	for i, name := range chosen[:len(chosen)-1] {
		s := d.state(name, chosen[i+1:])
		if states[name] = s; s["Catch"] != nil {
			states["Caught"] = fields{"Type": "Pass", "End": true}
		}
	}
	return string(mustJSON(fields{"StartAt": chosen[0], "States": states}))
}

func (d motoDice) state(name string, later []string) fields {
	s := fields{}
	switch name[0] {
	case 'P':
		s = d.through(fields{"Type": "Pass"})
		if d.chance(40) {
			s["Result"] = d.value(0)
		} else if d.chance(50) {
			s["Parameters"] = d.template()
		}
	case 'W':
		s = fields{"Type": "Wait", "Seconds": 1 + d.IntN(900)}
		if d.chance(30) {
			s = fields{"Type": "Wait", "SecondsPath": d.pick("$.n", "$.c.a", "$.n")}
		}
	case 'C':
		var rules []any
		for range 1 + d.IntN(3) {
			rule := d.rule(0)
			if rule["Next"] = d.pick(later...); rules == nil {
				rule["Next"] = later[0] // each state can be reached
			}
			rules = append(rules, rule)
		}
		s = fields{"Type": "Choice", "Choices": rules}
		if d.chance(85) {
			s["Default"] = d.pick(later...)
		}
		return s
	case 'M':
		s = d.through(fields{"Type": "Map", "ItemsPath": d.pick("$.l", "$.l", "$.l", "$.c", "$.nowhere"), "MaxConcurrency": 1,
			"ItemProcessor": fields{"StartAt": "I", "States": fields{"I": fields{"Type": "Pass", "End": true}}}})
		if d.chance(50) {
			s["ItemSelector"] = fields{"v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index", "n.$": "$.n"}
		}
	case 'T':
		s = d.task(name)
	}
	s["Next"] = later[0]
	return s
}

// through adds the fields that lead data through a state.
func (d motoDice) through(s fields) fields {
	if d.chance(6) {
		s["InputPath"] = d.pick("$", "$.c") // not null, for which moto sends {}
	}
	switch n := d.IntN(20); {
	case n < 13:
		s["ResultPath"] = d.pick("$.a", "$.r", "$.c.r", "$.r.s") // no element of a list: moto spreads a list there
	case n < 19:
		s["ResultPath"] = nil
	}
	if d.chance(4) {
		s["OutputPath"] = d.pick("$", "$.c")
	}
	return s
}

func (d motoDice) task(name string) fields {
	s := d.through(fields{"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 5 + d.IntN(100)})
	parameters := fields{"FunctionName": name}
	if d.chance(70) {
		parameters["Payload.$"] = "$"
	} else {
		parameters["Payload"] = d.template()
	}
	s["Parameters"] = parameters
	s["ResultSelector"] = fields{"p.$": "$.Payload"}
	if d.chance(60) {
		retrier := fields{"ErrorEquals": []any{d.pick("Broken", "Other", "States.Timeout", "States.TaskFailed", "States.ALL")}, "IntervalSeconds": 1 + d.IntN(5), "MaxAttempts": d.IntN(4), "BackoffRate": 1 + d.IntN(3)}
		if d.chance(30) {
			retrier["MaxDelaySeconds"] = 6 + d.IntN(5)
		}
		s["Retry"] = []any{retrier}
	}
	if d.chance(50) {
		s["Catch"] = []any{fields{"ErrorEquals": []any{d.pick("Broken", "States.Timeout", "States.TaskFailed", "States.ALL")}, "ResultPath": d.pick("$.e", "$.c.e"), "Next": "Caught"}}
	}
	return s
}

// rule draws a rule of a Choice state.
func (d motoDice) rule(depth int) fields {
	if depth < 2 && d.chance(30) {
		switch d.IntN(3) {
		case 0:
			return fields{"And": []any{d.rule(2), d.rule(2)}}
		case 1:
			return fields{"Or": []any{d.rule(2), d.rule(2)}}
		}
		return fields{"Not": d.rule(2)}
	}
	switch d.IntN(8) {
	case 0:
		return fields{"Variable": "$.n", d.pick("NumericEquals", "NumericLessThan", "NumericGreaterThan", "NumericLessThanEquals", "NumericGreaterThanEquals"): d.IntN(5)}
	case 1:
		return fields{"Variable": "$.s", d.pick("StringEquals", "StringLessThan", "StringGreaterThan"): d.pick("x", "y")}
	case 2:
		return fields{"Variable": "$.f", "BooleanEquals": d.chance(50)}
	case 3:
		return fields{"Variable": d.pick("$.a", "$.nowhere", "$.c.b"), "IsPresent": d.chance(50)}
	case 4:
		return fields{"Variable": d.pick("$.a", "$.b"), d.pick("IsNull", "IsString", "IsNumeric", "IsBoolean"): d.chance(50)}
	case 5:
		return fields{"Variable": "$.s", "StringMatches": d.pick("x*", "*", "y")}
	}
	return fields{"Variable": d.pick("$.a", "$.b", "$.s", "$.n"), d.pick("StringEquals", "StringEquals"): d.pick("x", "y")}
}

// script draws what becomes of a task's attempts.
func (d motoDice) script() []moto.Answer {
	var answers []moto.Answer
	for range d.IntN(4) {
		answers = append(answers, []moto.Answer{{Fails: "Broken"}, {Fails: "Other"}, {Hangs: true}, {Says: mustJSON(d.value(0))}, {Says: mustJSON(d.value(1))}, {Echo: true}}[d.IntN(6)])
	}
	return answers
}
