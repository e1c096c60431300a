package statemachines

import (
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/stepfunctions/moto"
)

// motoDiffers are the rows that moto's interpreter runs differently, each with its reason.
var motoDiffers = map[string]string{
	"call.asl.json Dial fails with States.TaskFailed":  statesError,
	"call.asl.json Dial fails with States.Permissions": statesError,
}

const statesError = "a function stands in for Step Functions' own error; moto lets no function name an error States.*"

// TestMoto runs every row of the two machines in moto's interpreter. It must take the same path in
// the same time as the emulator, and end in the same way.
func TestMoto(t *testing.T) {
	t.Parallel()
	interpreter := moto.Start(t)
	for _, m := range []struct {
		machine
		rows []row
	}{{approvals, approvalRows()}, {calls, callRows(t)}} {
		for _, r := range m.rows {
			t.Run(m.file+" "+r.name, func(t *testing.T) {
				if r.jitter != 0 {
					t.Skip("moto's pauses are at their longest here")
				}
				got := interpreter.Run(t, m.execution(t, r))
				if got.Refused != "" {
					t.Fatal(got.Refused)
				}
				want := "SUCCEEDED"
				if r.failed {
					want = "FAILED"
				}
				diff := cmp.Diff(want, got.Status) + cmp.Diff(strings.Fields(r.path), path(historyOf(got.Events)))
				if why := motoDiffers[m.file+" "+r.name]; (diff != "") != (why != "") {
					t.Errorf("(-emulator +moto)\n%s\nlisted as different: %q", diff, why)
				}
			})
		}
	}
}

// execution is a row for moto.
func (m machine) execution(t *testing.T, r row) moto.Execution {
	t.Helper()
	_, text := read(t, m.file)
	names := map[string]string{}
	for _, found := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllSubmatch(text, -1) {
		names[string(found[1])] = string(found[1])
	}
	text, err := stepfunctions.Substitute(text, names)
	if err != nil {
		t.Fatal(err)
	}
	e := moto.Execution{Definition: string(text), Input: m.input, Usual: map[string]moto.Answer{}, Script: map[string][]moto.Answer{}}
	for state, task := range maps.All(m.tasks) {
		e.Usual[state] = moto.Answer{Says: json.RawMessage(task.usual)}
	}
	for state, answers := range r.script {
		for _, a := range answers {
			one := moto.Answer{Fails: a.fails, Denies: a.denies, Hangs: a.hangs, Silent: a.silent}
			if a.says != "" {
				one.Says = json.RawMessage(a.says)
			}
			e.Script[state] = append(e.Script[state], one)
		}
	}
	return e
}

// historyOf converts moto's events into the form that path reads.
func historyOf(events []moto.Event) []types.HistoryEvent {
	var history []types.HistoryEvent
	for _, e := range events {
		one := types.HistoryEvent{Type: types.HistoryEventType(e.Type), Timestamp: &e.At}
		if strings.HasSuffix(e.Type, "StateEntered") {
			one.StateEnteredEventDetails = &types.StateEnteredEventDetails{Name: &e.Name}
		}
		history = append(history, one)
	}
	return history
}
