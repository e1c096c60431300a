package deleteconfiguration_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/deleteconfiguration"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
)

const (
	mine = "+2348012345678"
	user = "usr_a"
)

type bench struct {
	*storetest.Database
	t       *testing.T
	livekit *livekittest.Server
	handler http.Handler
	key     string
}

// setup makes a number that is configured in LiveKit and in the record.
func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, livekit: livekittest.New(t), Database: storetest.Open(t, nil)}
	ctx := t.Context()
	client := livekit.Open(livekit.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	edge := &api.Edge{Keys: b.DB, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	b.handler = edge.Handler(&deleteconfiguration.Endpoint{Remover: &numberconfig.Remover{Numbers: b.DB, LiveKit: client, Now: time.Now}})
	n := number.Number{ID: number.ID(mine), E164: mine, Country: "NG", Type: "mobile", Capabilities: []string{"inbound", "outbound"},
		UserID: user, AssignedAt: time.Now(), UpdatedAt: time.Now(),
		Trunk: &number.Trunk{Name: "Twilio", Address: "a.carrier.net", Numbers: []string{mine}, Transport: "auto",
			Directions: []string{"outbound", "inbound"}, AllowedAddresses: []string{"54.172.60.0/30"}},
		Rule: &number.Rule{Name: "Line", RoomPrefix: "x-", AgentName: "agent"}}
	have, err := client.SIPConfiguration(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	done, err := client.Apply(ctx, have, livekit.Desired{
		Trunks: &livekit.Trunks{Outbound: &livekit.OutboundTrunk{Name: "Twilio", Address: "a.carrier.net", Numbers: []string{mine}},
			Inbound: &livekit.InboundTrunk{Name: "Twilio", AllowedAddresses: []string{"54.172.60.0/30"}}},
		Rule: &livekit.DispatchRule{Name: "Line", RoomPrefix: "x-", AgentName: "agent"}})
	if err != nil {
		t.Fatal(err)
	}
	n.Trunk.OutboundID, n.Trunk.InboundID, n.Rule.ID = done.OutboundID(), done.InboundID(), done.RuleID()
	if err := b.PutNumber(ctx, n); err != nil {
		t.Fatal(err)
	}
	const id = "key_01JD8Z7N5R4T3V2W1X0YABCDEF"
	text, err := account.NewKey(id, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, sum, _ := account.ParseKey(text)
	if err := b.PutKey(ctx, account.Key{ID: id, UserID: user, Hash: sum[:], Scopes: []string{account.NumbersWrite}, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	b.key = text
	b.Trips()
	return b
}

func (b *bench) remove(e164, what string) (int, []byte) {
	b.t.Helper()
	url := "/outbound-calls/phone-numbers/" + number.ID(e164) + "/configuration"
	if what != "" {
		url += "?config_type=" + what
	}
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodDelete, url, nil)
	r.Header.Set("Authorization", "Bearer "+b.key)
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

func TestRemove(t *testing.T) {
	t.Parallel()
	type objects struct{ outbound, inbound, rules int }
	all := []string{"dispatch_rule", "inbound_trunk", "outbound_trunk"}
	tests := map[string]struct {
		removed []string
		status  number.Status
		left    objects
		rule    bool
	}{
		"all":           {all, number.Unconfigured, objects{}, false},
		"sip_trunk":     {all[1:], number.Partial, objects{}, true},
		"dispatch_rule": {all[:1], number.Partial, objects{1, 1, 0}, false},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			for round, removed := range [][]string{tt.removed, {}} {
				b.Trips()
				status, raw := b.remove(mine, what)
				var v deleteconfiguration.RemovedConfiguration
				if err := json.Unmarshal(raw, &v); err != nil || status != 200 {
					t.Fatalf("%d %s", status, raw)
				}
				if diff := cmp.Diff(deleteconfiguration.RemovedConfiguration{PhoneNumberID: number.ID(mine), Removed: removed, Status: tt.status}, v); diff != "" {
					t.Errorf("round %d: %s", round, diff)
				}
				if trips := b.Trips(); trips != 3 {
					t.Errorf("round %d: %d DynamoDB round trips", round, trips)
				}
				var left objects
				if left.outbound, left.inbound, left.rules = b.livekit.Count(); left != tt.left {
					t.Errorf("round %d: LiveKit holds %+v", round, left)
				}
				n, err := b.Number(t.Context(), user, number.ID(mine))
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
	b := setup(t)
	before := len(b.livekit.Requests())
	if status, raw := b.remove(mine, "all"); status != 200 {
		t.Fatalf("%d %s", status, raw)
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
				b := setup(t)
				b.livekit.FailAt(at, f)
				if status, raw := b.remove(mine, "all"); status != 503 {
					t.Fatalf("%d %s", status, raw)
				}
				n, err := b.Number(t.Context(), user, number.ID(mine))
				if want := at > 2; err != nil || n.Fault != want {
					t.Errorf("fault %t, want %t; %v", n.Fault, want, err)
				}
				status, raw := b.remove(mine, "all")
				if status != 200 || !strings.Contains(string(raw), `"unconfigured"`) || !strings.Contains(string(raw), `["dispatch_rule","inbound_trunk","outbound_trunk"]`) {
					t.Errorf("again: %d %s", status, raw)
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
	b := setup(t)
	for what, want := range map[string]int{"": 400, "everything": 400, "all&x=1": 400} {
		if status, raw := b.remove(mine, what); status != want {
			t.Errorf("%q: %d %s", what, status, raw)
		}
	}
	if status, raw := b.remove("+14155550100", "all"); status != 404 {
		t.Errorf("unknown number: %d %s", status, raw)
	}
	if _, err := b.LeaseNumber(t.Context(), user, number.ID(mine), "somebody", time.Minute); err != nil {
		t.Fatal(err)
	}
	if status, raw := b.remove(mine, "all"); status != 409 {
		t.Errorf("while leased: %d %s", status, raw)
	}
	if o, i, r := b.livekit.Count(); o != 1 || i != 1 || r != 1 {
		t.Errorf("left: %d %d %d", o, i, r)
	}
}
