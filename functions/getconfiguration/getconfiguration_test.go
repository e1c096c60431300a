package getconfiguration_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/getconfiguration"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
)

var at = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func TestShow(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return at })
	b.Serve(&getconfiguration.Endpoint{Numbers: b.DB})
	_, key := b.Key("ada", account.NumbersRead)
	put := func(n number.Number) string {
		n.ID, n.UpdatedAt = number.ID(n.E164), at
		b.Must(b.PutNumber(t.Context(), n))
		return n.ID
	}
	bare := put(number.Number{E164: "+2348012345670", UserID: "ada"})
	full := put(number.Number{
		E164:   "+2348012345671",
		UserID: "ada",
		Trunk: &number.Trunk{
			Name:               "Twilio",
			Address:            "a.carrier.net",
			Numbers:            []string{"+2348012345671"},
			AuthUsername:       "kros",
			HasAuthPassword:    true,
			DestinationCountry: "NG",
			Transport:          "tls",
			Directions:         []string{"outbound"},
			OutboundID:         "ST_1",
		},
		Rule: &number.Rule{Name: "Line", RoomPrefix: "support-", AgentName: "agent"},
	})
	foreign := put(number.Number{E164: "+2348012345672", UserID: "bob"})
	show := func(id string) apitest.Answer {
		return b.Ask(key, "GET", "/outbound-calls/phone-numbers/"+id+"/configuration", "")
	}
	for id, want := range map[string]map[string]any{
		bare: {
			"phone_number_id":      bare,
			"phone_number":         "+2348012345670",
			"configuration_status": "unconfigured",
			"sip_trunk":            nil,
			"dispatch_rule":        nil,
			"updated_at":           "2026-11-22T09:30:00.000Z",
		},
		full: {
			"phone_number_id":      full,
			"phone_number":         "+2348012345671",
			"configuration_status": "configured",
			"sip_trunk": map[string]any{
				"name":                "Twilio",
				"address":             "a.carrier.net",
				"numbers":             []any{"+2348012345671"},
				"auth_username":       "kros",
				"has_auth_password":   true,
				"destination_country": "NG",
				"transport":           "tls",
				"directions":          []any{"outbound"},
				"allowed_addresses":   []any{},
				"outbound_trunk_id":   "ST_1",
				"inbound_trunk_id":    nil,
			},
			"dispatch_rule": map[string]any{
				"rule_name":              "Line",
				"room_prefix":            "support-",
				"agent_name":             "agent",
				"dispatch_rule_id":       nil,
				"max_concurrent_inbound": nil,
				"max_duration_seconds":   14400.0,
			},
			"updated_at": "2026-11-22T09:30:00.000Z",
		},
	} {
		b.Trips()
		a := show(id)
		if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
			t.Errorf("%d %s", a.Status, diff)
		}
		if trips := b.Trips(); trips != 2 {
			t.Errorf("%d DynamoDB round trips", trips)
		}
	}
	unknown := show(number.ID("+14155550100"))
	for _, id := range []string{foreign, "pn_1", "call_01JD8Z7N5R4T3V2W1X0YABCDEF"} {
		if a := show(id); a.Status != 404 || a.Text != unknown.Text {
			t.Errorf("%s: %d %s, an unknown number gets %s", id, a.Status, a.Text, unknown.Text)
		}
	}
}
