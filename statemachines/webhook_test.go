package statemachines

import "testing"

var webhooks = machine{
	file:  "webhook.asl.json",
	input: `{"user_id":"ada","endpoint_id":"whe_1","delivery_id":"dlv_1"}`,
	tasks: map[string]task{
		"Deliver": {"DeliverWebhookFunction", `{"user_id":"ada","endpoint_id":"whe_1","delivery_id":"dlv_1"}`, `{}`},
		"Bury":    {"DeliverWebhookFunction", `{"user_id":"ada","endpoint_id":"whe_1","delivery_id":"dlv_1","bury":true}`, `{}`},
	},
}

func webhookRows(t *testing.T) []row {
	d, _ := read(t, webhooks.file)
	const day = "Deliver +10s Deliver +30s Deliver +1m30s Deliver +4m30s Deliver +13m30s Deliver +40m30s Deliver +2h1m30s Deliver" +
		" +5h15m0s Deliver +5h15m0s Deliver +5h15m0s Deliver +5h15m0s Deliver"
	return []row{
		{name: "delivered", path: "Deliver Done"},
		{name: "delivered at the second attempt", script: map[string][]answer{"Deliver": {fails(custom)}}, path: "Deliver +10s Deliver Done"},
		{name: "the function hangs once", script: map[string][]answer{"Deliver": {{hangs: true}}}, path: "Deliver:30s +10s Deliver Done"},
		{name: "delivered at the last attempt", script: map[string][]answer{"Deliver": times(11, fails(custom))}, path: day + " Done"},
		{name: "dead after a day", script: map[string][]answer{"Deliver": times(12, fails(custom))}, path: day + " Bury Done"},
		{name: "buried at the third attempt", script: map[string][]answer{"Deliver": times(12, fails(custom)), "Bury": {fails(broken), {hangs: true}}},
			path: day + " Bury +1s Bury:30s +2s Bury Done"},
		{name: "cannot be buried", script: map[string][]answer{"Deliver": times(12, fails(custom)), "Bury": times(13, fails(broken))},
			path: day + " " + d.again("Bury", 0), failed: true},
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	webhooks.test(t, webhookRows(t))
}

func TestWebhookOutlivesTransientErrors(t *testing.T) {
	t.Parallel()
	webhooks.survives(t, webhookRows(t))
}
