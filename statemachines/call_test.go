package statemachines

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

var calls = machine{
	file:  "call.asl.json",
	input: `{"call_id":"call_1"}`,
	tasks: map[string]task{
		"Prepare":       {"PrepareCallFunction", `{"call_id":"call_1"}`, ready},
		"Dial":          {"DialCallFunction", `{"call_id":"call_1","waiting_since":"SINCE"}`, `{"outcome":"answered"}`},
		"Resolve":       {"FinishCallFunction", `{"call_id":"call_1","reason":"unclear"}`, `{"outcome":"answered"}`},
		"NoPlace":       {"FinishCallFunction", `{"call_id":"call_1","reason":"capacity"}`, `{"outcome":"ended"}`},
		"AwaitEnd":      {"AwaitCallFunction", `{"call_id":"call_1","task_token":"TOKEN"}`, `{}`},
		"Finish":        {"FinishCallFunction", `{"call_id":"call_1","reason":"expired"}`, `{"outcome":"ended"}`},
		"GiveUp":        {"FinishCallFunction", `{"call_id":"call_1","reason":"failed"}`, `{"outcome":"ended"}`},
		"Summarize":     {"SummarizeCallFunction", `{"call_id":"call_1"}`, `{"outcome":"ready"}`},
		"SummaryFailed": {"SummarizeCallFunction", `{"call_id":"call_1","failed":"Lambda.Unknown"}`, `{"outcome":"ready"}`},
	},
}

const ready = `{"outcome":"ready","dial_seconds":90,"talk_seconds":600}`

func callRows(t *testing.T) []row {
	d, _ := read(t, calls.file)
	type script = map[string][]answer
	const (
		dialed     = "Prepare Prepared Dial Dialed "
		told       = "Summarize Summarized Done"
		talkedAnd  = " AwaitEnd:1m0s " + told
		unanswered = told
		summed     = dialed + "AwaitEnd:1m0s "
		expired    = dialed + "AwaitEnd:10m0s "
	)
	ended, unclear, nothing := says(`{"outcome":"ended"}`), says(`{"outcome":"unclear"}`), []answer{says(`{"outcome":"none"}`)}
	dead := []answer{fails(broken)} // a dial whose outcome is unknown
	rows := []row{
		// The course of calls.
		{name: "answered", path: dialed + "AwaitEnd:1m0s " + told},
		{name: "not answered", script: script{"Dial": {ended}, "Summarize": nothing}, path: dialed + unanswered},
		{name: "no agent", script: script{"Prepare": {says(`{"outcome":"ended","dial_seconds":0,"talk_seconds":0}`)}, "Summarize": nothing}, path: "Prepare Prepared " + unanswered},
		{name: "came in", script: script{"Prepare": {says(`{"outcome":"answered","dial_seconds":0,"talk_seconds":14400}`)}}, path: "Prepare Prepared AwaitEnd:1m0s " + told},
		{name: "came in, and nobody says what became of it", script: script{"Prepare": {says(`{"outcome":"unclear","dial_seconds":0,"talk_seconds":14400}`)}},
			path: "Prepare Prepared WaitToResolve:2s Resolve Dialed" + talkedAnd},
		{name: "unclear", script: script{"Dial": {unclear}, "Resolve": {unclear, ended}, "Summarize": nothing},
			path: dialed + "WaitToResolve:2s Resolve Dialed WaitToResolve:2s Resolve Dialed " + unanswered},
		{name: "talked for as long as was agreed", script: script{"AwaitEnd": {{silent: true}}}, path: expired + "Finish " + told},
		{name: "told of by and by", script: script{"Summarize": {says(`{"outcome":"waiting"}`), says(`{"outcome":"waiting"}`)}},
			path: summed + "Summarize Summarized WaitForTurns:5s Summarize Summarized WaitForTurns:5s Summarize Summarized Done"},

		// The course of a call if something is down, state by state.
		{name: "everything but the dial fails once", script: script{"Prepare": {fails(broken)}, "AwaitEnd": {fails(broken)}, "Summarize": {fails(broken)}},
			path: "Prepare +1s Prepare Prepared Dial Dialed AwaitEnd +1s AwaitEnd:1m0s Summarize +2s Summarize Summarized Done"},
		{name: "Prepare fails", script: script{"Prepare": {{hangs: true}, fails(broken), fails(custom)}, "Resolve": {ended}, "Summarize": nothing},
			path: "Prepare:1m0s +1s Prepare +2s Prepare Unprepared Resolve Dialed " + unanswered},
		{name: "Prepare fails, and the call that came in goes on", script: script{"Prepare": times(3, fails(broken)), "AwaitEnd": {{silent: true}}},
			path: d.again("Prepare", 1) + " Unprepared Resolve Dialed AwaitEnd:4h0m0s Finish " + told},
		{name: "Prepare is throttled, then fails once", script: script{"Prepare": {fails(throttled), fails(throttled), fails(custom)}},
			path: "Prepare +1s Prepare +2s Prepare +1s Prepare Prepared Dial Dialed" + talkedAnd},
		{name: "Prepare is throttled to the last but one attempt", script: script{"Prepare": times(18, fails(throttled))}, path: d.again("Prepare", 0) + " Prepared Dial Dialed" + talkedAnd},
		{name: "Prepare is throttled too long", script: script{"Prepare": times(19, fails(throttled)), "Summarize": nothing},
			path: d.again("Prepare", 0) + " Crowded NoPlace Dialed " + unanswered},
		{name: "Prepare is throttled too long, and the call that came in goes on",
			script: script{"Prepare": times(19, fails(throttled)), "NoPlace": {says(`{"outcome":"answered"}`)}, "AwaitEnd": {{silent: true}}},
			path:   d.again("Prepare", 0) + " Crowded NoPlace Dialed AwaitEnd:4h0m0s Finish " + told},

		{name: "Dial is throttled", script: script{"Dial": times(6, fails(throttled))},
			path: "Prepare Prepared Dial +1s Dial +2s Dial +4s Dial +8s Dial +10s Dial +10s Dial Dialed" + talkedAnd},
		{name: "Dial is throttled to the last but one attempt", script: script{"Dial": times(18, fails(throttled))}, path: "Prepare Prepared " + d.again("Dial", 0) + " Dialed" + talkedAnd},
		{name: "Dial is throttled too long", script: script{"Dial": times(19, fails(throttled)), "Summarize": nothing},
			path: "Prepare Prepared " + d.again("Dial", 0) + " NoPlace Dialed " + unanswered},
		{name: "NoPlace fails twice", script: script{"Dial": times(19, fails(throttled)), "NoPlace": {{hangs: true}, fails(broken)}, "Summarize": nothing},
			path: "Prepare Prepared " + d.again("Dial", 0) + " NoPlace:30s +2s NoPlace +4s NoPlace Dialed " + unanswered},
		{name: "NoPlace fails", script: script{"Dial": times(19, fails(throttled)), "NoPlace": times(7, fails(broken)), "Summarize": nothing},
			path: "Prepare Prepared " + d.again("Dial", 0) + " " + d.again("NoPlace", 0) + " GiveUp " + unanswered},
		{name: "Dial is throttled, and then dials and dies", script: script{"Dial": {fails(throttled), fails(broken)}}, path: "Prepare Prepared Dial +1s Dial Resolve Dialed" + talkedAnd},
		{name: "Dial is throttled, and then hangs", script: script{"Dial": {fails(throttled), {hangs: true}}}, path: "Prepare Prepared Dial +1s Dial:1m30s Resolve Dialed" + talkedAnd},
		{name: "Dial hangs", script: script{"Dial": {{hangs: true}}}, path: "Prepare Prepared Dial:1m30s Resolve Dialed" + talkedAnd},

		{name: "Resolve fails twice", script: script{"Dial": dead, "Resolve": {{hangs: true}, fails(broken)}}, path: "Prepare Prepared Dial Resolve:30s +2s Resolve +4s Resolve Dialed" + talkedAnd},
		{name: "Resolve fails", script: script{"Dial": dead, "Resolve": times(7, fails(broken))},
			path: "Prepare Prepared Dial Resolve +2s Resolve +4s Resolve +8s Resolve +16s Resolve +32s Resolve +1m0s Resolve GiveUp " + told},
		{name: "GiveUp fails twice", script: script{"Dial": dead, "Resolve": times(7, fails(broken)), "GiveUp": {{hangs: true}, fails(broken)}},
			path: "Prepare Prepared Dial " + d.again("Resolve", 0) + " GiveUp:30s +1s GiveUp +2s GiveUp " + told},
		{name: "GiveUp fails", script: script{"Dial": dead, "Resolve": times(7, fails(broken)), "GiveUp": times(13, fails(broken))},
			path: "Prepare Prepared Dial " + d.again("Resolve", 0) + " " + d.again("GiveUp", 0), failed: true},

		{name: "AwaitEnd fails", script: script{"AwaitEnd": times(7, fails(broken))},
			path: dialed + "AwaitEnd +1s AwaitEnd +2s AwaitEnd +4s AwaitEnd +8s AwaitEnd +16s AwaitEnd +32s AwaitEnd WaitToResolve:2s Resolve Dialed" + talkedAnd},
		{name: "AwaitEnd hangs", script: script{"AwaitEnd": {{hangs: true}}}, path: expired + "Finish " + told},
		{name: "the end is told as an error", script: script{"AwaitEnd": {denies(custom)}}, path: dialed + "AwaitEnd:1m0s +1s AwaitEnd:1m0s " + told},
		{name: "Finish fails twice", script: script{"AwaitEnd": {{silent: true}}, "Finish": {{hangs: true}, fails(broken)}}, path: expired + "Finish:30s +1s Finish +2s Finish " + told},
		{name: "Finish fails", script: script{"AwaitEnd": {{silent: true}}, "Finish": times(13, fails(broken))}, failed: true,
			path: expired + "Finish +1s Finish +2s Finish +4s Finish +8s Finish +16s Finish +32s Finish +1m4s Finish +2m8s Finish +4m16s Finish +5m0s Finish +5m0s Finish +5m0s Finish"},

		{name: "Summarize fails", script: script{"Summarize": times(4, fails(broken))}, path: summed + "Summarize +2s Summarize +8s Summarize +32s Summarize SummaryFailed Done"},
		{name: "Summarize hangs", script: script{"Summarize": times(4, answer{hangs: true})}, asked: map[string]string{"SummaryFailed": `{"call_id":"call_1","failed":"States.Timeout"}`},
			path: summed + "Summarize:1m0s +2s Summarize:1m0s +8s Summarize:1m0s +32s Summarize:1m0s SummaryFailed Done"},
		{name: "SummaryFailed fails twice", script: script{"Summarize": times(4, fails(broken)), "SummaryFailed": {{hangs: true}, fails(broken)}},
			path: summed + d.again("Summarize", 0) + " SummaryFailed:1m0s +5s SummaryFailed +15s SummaryFailed Done"},
		{name: "SummaryFailed fails", script: script{"Summarize": times(4, fails(broken)), "SummaryFailed": times(6, fails(broken))},
			path: summed + d.again("Summarize", 0) + " SummaryFailed +5s SummaryFailed +15s SummaryFailed +45s SummaryFailed +2m15s SummaryFailed +5m0s SummaryFailed Done"},
	}
	// After any error the phone may already be ringing, so the room is read.
	for _, err := range append([]string{custom, "States.TaskFailed", "States.Permissions", "TooManyRequestsException"}, transient...) {
		if err != throttled {
			rows = append(rows, row{name: "Dial fails with " + err, script: script{"Dial": {fails(err)}}, path: "Prepare Prepared Dial Resolve Dialed" + talkedAnd})
		}
	}
	return rows
}

func TestCall(t *testing.T) {
	t.Parallel()
	calls.test(t, callRows(t))
}

func TestCallOutlivesTransientErrors(t *testing.T) {
	t.Parallel()
	calls.survives(t, callRows(t))
}

// TestOnlyAThrottledDialIsRepeated: only a throttled dial is repeated. The repetition ends before
// the sweep gives the call up, three minutes after it was requested.
func TestOnlyAThrottledDialIsRepeated(t *testing.T) {
	t.Parallel()
	d, _ := read(t, calls.file)
	retry := d.States["Dial"].Retry
	if len(retry) != 1 || len(retry[0].ErrorEquals) != 1 || retry[0].ErrorEquals[0] != throttled {
		t.Fatalf("Dial is retried on %v", retry)
	}
	seconds := 0
	for n := 1; n <= retry[0].MaxAttempts; n++ {
		seconds += retry[0].pause(n)
	}
	if seconds != 155 {
		t.Errorf("a throttled dial is repeated for %d s, which its Comment does not say", seconds)
	}
}

// TestHistoryOutlastsTheLongestCall: while awaitcall is down, the workflow runs in a loop, and AWS
// ends an execution after 25,000 events. Such an execution cannot even be redriven. The test plays
// ten rounds whose pauses are half their longest, which is their average with jitter, and computes
// the number of events in four hours.
func TestHistoryOutlastsTheLongestCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rounds = 10
		d, _ := read(t, calls.file)
		attempts := d.States["AwaitEnd"].Retry[0].MaxAttempts + 1
		x := calls.open(t, row{jitter: 0.5, script: map[string][]answer{"AwaitEnd": times(rounds*attempts, fails(broken)),
			"Resolve": append(times(rounds-1, says(`{"outcome":"answered"}`)), says(`{"outcome":"ended"}`))}})
		if status := x.await(); status != types.ExecutionStatusSucceeded {
			t.Fatal(status)
		}
		events := x.history()
		took := events[len(events)-1].Timestamp.Sub(*events[0].Timestamp)
		if n := len(events) * int(4*time.Hour/took); n > 20_000 {
			t.Errorf("%d events in %v: four hours would take %d", len(events), took, n)
		} else {
			t.Logf("%d events in %v: four hours take %d", len(events), took, n)
		}
	})
}
