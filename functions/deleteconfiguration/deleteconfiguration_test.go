package deleteconfiguration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/deleteconfiguration"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/secret"
)

const mine = "+2348012345678"

// bench serves the function with a number of ada's that is configured in LiveKit and in the record.
type bench struct {
	*apitest.Bench
	livekit *livekittest.Server
	key     string
}

func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{Bench: apitest.Open(t, nil), livekit: livekittest.New(t)}
	client := livekit.Open(livekit.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	b.Serve(&deleteconfiguration.Endpoint{Remover: &numberconfig.Remover{Numbers: b.DB, LiveKit: client, Now: b.Now}})
	n := number.Number{
		ID:           number.ID(mine),
		E164:         mine,
		Country:      "NG",
		Type:         "mobile",
		Capabilities: []string{"inbound", "outbound"},
		UserID:       "ada",
		AssignedAt:   b.Now(),
		UpdatedAt:    b.Now(),
		Trunk: &number.Trunk{Name: "Twilio", Address: "a.carrier.net", Numbers: []string{mine}, Transport: "auto",
			Directions: []string{"outbound", "inbound"}, AllowedAddresses: []string{"54.172.60.0/30"}},
		Rule: &number.Rule{Name: "Line", RoomPrefix: "x-", AgentName: "agent"},
	}
	have, err := client.SIPConfiguration(t.Context(), n)
	b.Must(err)
	done, err := client.Apply(t.Context(), have, livekit.Desired{
		Trunks: &livekit.Trunks{Outbound: &livekit.OutboundTrunk{Name: "Twilio", Address: "a.carrier.net", Numbers: []string{mine}},
			Inbound: &livekit.InboundTrunk{Name: "Twilio", AllowedAddresses: []string{"54.172.60.0/30"}}},
		Rule: &livekit.DispatchRule{Name: "Line", RoomPrefix: "x-", AgentName: "agent"}})
	b.Must(err)
	n.Trunk.OutboundID, n.Trunk.InboundID, n.Rule.ID = done.OutboundID(), done.InboundID(), done.RuleID()
	b.Must(b.PutNumber(t.Context(), n))
	_, b.key = b.Key("ada", account.NumbersWrite)
	return b
}

// remove asks to remove the parts that a query names.
func (b *bench) remove(e164, query string) apitest.Answer {
	b.Helper()
	return b.Ask(b.key, "DELETE", "/outbound-calls/phone-numbers/"+number.ID(e164)+"/configuration"+query, "")
}

// removed is the answer after parts were removed.
func removed(status number.Status, parts ...any) map[string]any {
	return map[string]any{"phone_number_id": number.ID(mine), "removed": append([]any{}, parts...), "configuration_status": string(status)}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	type objects struct{ outbound, inbound, rules int }
	all := []any{"dispatch_rule", "inbound_trunk", "outbound_trunk"}
	for what, tt := range map[string]struct {
		removed []any
		status  number.Status
		left    objects
		rule    bool
	}{
		"all":           {removed: all, status: number.Unconfigured},
		"sip_trunk":     {removed: all[1:], status: number.Partial, rule: true},
		"dispatch_rule": {removed: all[:1], status: number.Partial, left: objects{outbound: 1, inbound: 1}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			for round, parts := range [][]any{tt.removed, {}} {
				b.Trips()
				a := b.remove(mine, "?config_type="+what)
				if diff := cmp.Diff(removed(tt.status, parts...), a.Body); a.Status != 200 || diff != "" {
					t.Fatalf("round %d: %d %s", round, a.Status, diff)
				}
				if trips := b.Trips(); trips != 3 {
					t.Errorf("round %d: %d DynamoDB round trips", round, trips)
				}
				var left objects
				if left.outbound, left.inbound, left.rules = b.livekit.Count(); left != tt.left {
					t.Errorf("round %d: LiveKit holds %+v", round, left)
				}
				n, err := b.Number(t.Context(), "ada", number.ID(mine))
				if err != nil || (n.Rule != nil) != tt.rule || n.Rule != nil && n.Rule.ID != "" || (n.Trunk != nil) != (tt.left.outbound == 1) {
					t.Errorf("round %d: %+v %v", round, n, err)
				}
			}
		})
	}
}

// Dispatch rules are deleted before their trunks, so that no rule is ever without a trunk.
func TestOrder(t *testing.T) {
	t.Parallel()
	b := open(t)
	before := len(b.livekit.Requests())
	if a := b.remove(mine, "?config_type=all"); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	want := []string{"ListSIPOutboundTrunk", "ListSIPInboundTrunk", "ListSIPDispatchRule", "DeleteSIPDispatchRule", "DeleteSIPTrunk", "DeleteSIPTrunk"}
	if diff := cmp.Diff(want, b.livekit.Requests()[before:]); diff != "" {
		t.Error(diff)
	}
}

// TestEveryStepFails checks that removing again finishes the work after any failed request.
func TestEveryStepFails(t *testing.T) {
	t.Parallel()
	for at := range 6 {
		for _, f := range livekittest.Faults {
			t.Run(fmt.Sprintf("%d/%d", at, f), func(t *testing.T) {
				t.Parallel()
				b := open(t)
				b.livekit.FailAt(at, f)
				if a := b.remove(mine, "?config_type=all"); a.Status != 503 {
					t.Fatalf("%d %s", a.Status, a.Text)
				}
				n, err := b.Number(t.Context(), "ada", number.ID(mine))
				if want := at > 2; err != nil || n.Fault != want {
					t.Errorf("fault %t, want %t; %v", n.Fault, want, err)
				}
				a := b.remove(mine, "?config_type=all")
				want := removed(number.Unconfigured, "dispatch_rule", "inbound_trunk", "outbound_trunk")
				if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
					t.Errorf("again: %d %s", a.Status, diff)
				}
				if o, i, r := b.livekit.Count(); o+i+r != 0 {
					t.Errorf("left: %d %d %d", o, i, r)
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := open(t)
	for query, want := range map[string]string{
		"":                        "400 INVALID_REQUEST config_type:required",
		"?config_type=everything": "400 INVALID_REQUEST config_type:enum",
		"?config_type=all&x=1":    "400 INVALID_REQUEST x:unknown",
	} {
		if a := b.remove(mine, query); a.Outcome() != want {
			t.Errorf("%q: %s, want %s", query, a.Outcome(), want)
		}
	}
	if a := b.remove("+14155550100", "?config_type=all"); a.Status != 404 {
		t.Errorf("unknown number: %d %s", a.Status, a.Text)
	}
	_, err := b.LeaseNumber(t.Context(), "ada", number.ID(mine), "somebody", time.Minute)
	b.Must(err)
	if a := b.remove(mine, "?config_type=all"); a.Status != 409 {
		t.Errorf("while leased: %d %s", a.Status, a.Text)
	}
	if o, i, r := b.livekit.Count(); o != 1 || i != 1 || r != 1 {
		t.Errorf("left: %d %d %d", o, i, r)
	}
}
