package statemachines

import "testing"

var approvals = machine{
	file:  "approval.asl.json",
	input: `{"request_id":"req_1"}`,
	tasks: map[string]task{
		"Review":          {"ExpireRequestFunction", `{"request_id":"req_1"}`, `{"status":"approved","seconds":1}`},
		"WaitForDecision": {"AwaitRequestFunction", `{"request_id":"req_1","what":"decision","task_token":"TOKEN"}`, `{}`},
		"FulfillRequest":  {"FulfillRequestFunction", `{"request_id":"req_1"}`, `{"status":"assigned"}`},
		"WaitForNumber":   {"AwaitRequestFunction", `{"request_id":"req_1","what":"number","task_token":"TOKEN"}`, `{}`},
		"Notify":          {"NotifyRequestFunction", `{"request_id":"req_1"}`, `{}`},
	},
}

func approvalRows() []row {
	type script = map[string][]answer
	const (
		reviewed = "Review Reviewed "
		assigned = "FulfillRequest Assigned Notify Done"
		approved = reviewed + assigned
		paused   = " Pause:15m0s "
	)
	pending, out := says(`{"status":"pending","seconds":604800}`), says(`{"status":"approved"}`)
	return []row{
		// The course of requests.
		{name: "approved", script: script{"Review": {pending}}, path: reviewed + "WaitForDecision:1m0s " + approved},
		{name: "approved before anybody waited", path: approved},
		{name: "rejected", script: script{"Review": {pending, says(`{"status":"rejected","seconds":1}`)}}, path: reviewed + "WaitForDecision:1m0s " + reviewed + "Notify Done"},
		{name: "approved after a reminder", script: script{"Review": {pending, pending}, "WaitForDecision": {{silent: true}}},
			path: reviewed + "WaitForDecision:168h0m0s " + reviewed + "WaitForDecision:1m0s " + approved},
		{name: "out of stock", script: script{"FulfillRequest": {out, out}}, path: reviewed + "FulfillRequest Assigned WaitForNumber:1m0s FulfillRequest Assigned WaitForNumber:1m0s " + assigned},
		{name: "out of stock for a day and more", script: script{"FulfillRequest": {out, out}, "WaitForNumber": {{silent: true}}},
			path: reviewed + "FulfillRequest Assigned WaitForNumber:24h0m0s FulfillRequest Assigned WaitForNumber:1m0s " + assigned},

		// The course of requests if something is down, state by state.
		{name: "everything fails once", script: script{"Review": {fails(broken), pending}, "WaitForDecision": {fails(broken)},
			"FulfillRequest": {fails(broken), out}, "WaitForNumber": {fails(broken)}, "Notify": {fails(broken)}},
			path: "Review +1s Review Reviewed WaitForDecision +1s WaitForDecision:1m0s Review Reviewed " +
				"FulfillRequest +1s FulfillRequest Assigned WaitForNumber +1s WaitForNumber:1m0s FulfillRequest Assigned Notify +1s Notify Done"},
		{name: "Review fails", script: script{"Review": {{hangs: true}, fails(broken), fails(custom), fails(broken)}}, path: "Review:30s +1s Review +2s Review +4s Review" + paused + approved},
		{name: "WaitForDecision fails", script: script{"Review": {pending}, "WaitForDecision": times(4, fails(broken))},
			path: reviewed + "WaitForDecision +1s WaitForDecision +2s WaitForDecision +4s WaitForDecision" + paused + approved},
		{name: "WaitForDecision hangs", script: script{"Review": {pending}, "WaitForDecision": {{hangs: true}}}, path: reviewed + "WaitForDecision:168h0m0s " + approved},
		{name: "the decision is told as an error", script: script{"Review": {pending}, "WaitForDecision": {denies(custom)}},
			path: reviewed + "WaitForDecision:1m0s +1s WaitForDecision:1m0s " + approved},
		{name: "FulfillRequest fails", script: script{"FulfillRequest": {{hangs: true}, fails(broken), fails(custom), fails(broken)}},
			path: reviewed + "FulfillRequest:1m0s +1s FulfillRequest +2s FulfillRequest +4s FulfillRequest" + paused + approved},
		{name: "WaitForNumber fails", script: script{"FulfillRequest": {out}, "WaitForNumber": times(4, fails(broken))},
			path: reviewed + "FulfillRequest Assigned WaitForNumber +1s WaitForNumber +2s WaitForNumber +4s WaitForNumber" + paused + approved},
		{name: "Notify fails", script: script{"Notify": {{hangs: true}, fails(broken), fails(custom), fails(broken)}},
			path: reviewed + "FulfillRequest Assigned Notify:30s +1s Notify +2s Notify +4s Notify" + paused + approved},
		{name: "down for an hour", script: script{"Review": times(16, fails(broken))},
			path: "Review +1s Review +2s Review +4s Review" + paused + "Review +1s Review +2s Review +4s Review" + paused +
				"Review +1s Review +2s Review +4s Review" + paused + "Review +1s Review +2s Review +4s Review" + paused + approved},
	}
}

func TestApproval(t *testing.T) {
	t.Parallel()
	approvals.test(t, approvalRows())
}

func TestApprovalOutlivesTransientErrors(t *testing.T) {
	t.Parallel()
	approvals.survives(t, approvalRows())
}
