package releasenumber_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/releasenumber"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/secret"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const (
	lagos = "+2348012345678"
	path  = "/admin/phone-numbers/"
)

type bench struct {
	*apitest.Bench
	livekit *livekittest.Server
}

// setup makes a number of ada's that is configured in LiveKit and in the record.
func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{Bench: apitest.Open(t, func() time.Time { return now }), livekit: livekittest.New(t)}
	client := livekit.Open(livekit.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	b.Serve(&releasenumber.Endpoint{Numbers: b.DB, Configurer: &numberconfig.Configurer{Numbers: b.DB, LiveKit: client, Now: b.Now},
		Requests: b.DB, Workflow: b.Workflow, Log: slog.New(slog.DiscardHandler)})
	n := number.Number{ID: number.ID(lagos), E164: lagos, Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}, Provider: "Twilio",
		UserID: "ada", AssignedAt: now, UpdatedAt: now,
		Trunk: &number.Trunk{Name: "T", Address: "a.carrier.net", Numbers: []string{lagos}, Transport: "auto",
			Directions: []string{"outbound", "inbound"}, AllowedAddresses: []string{"54.172.60.0/30"}},
		Rule: &number.Rule{Name: "R", RoomPrefix: "x-", AgentName: "agent"}}
	have, err := client.SIPConfiguration(t.Context(), n)
	b.Must(err)
	done, err := client.Apply(t.Context(), have, livekit.Desired{
		Trunks: &livekit.Trunks{Outbound: &livekit.OutboundTrunk{Name: "T", Address: "a.carrier.net", Numbers: []string{lagos}},
			Inbound: &livekit.InboundTrunk{Name: "T", AllowedAddresses: []string{"54.172.60.0/30"}}},
		Rule: &livekit.DispatchRule{Name: "R", RoomPrefix: "x-", AgentName: "agent"}})
	b.Must(err)
	n.Trunk.OutboundID, n.Trunk.InboundID, n.Rule.ID = done.OutboundID(), done.InboundID(), done.RuleID()
	b.Must(b.PutNumber(t.Context(), n))
	return b
}

func (b *bench) release(e164 string) apitest.Answer {
	b.Helper()
	return b.Ask(b.Admin("carol"), "POST", path+number.ID(e164)+"/release", "")
}

func (b *bench) left() int {
	outbound, inbound, rules := b.livekit.Count()
	return outbound + inbound + rules
}

func TestRelease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Replay("releasenumber", b.Admin("carol"))
	want := map[string]any{"phone_number_id": number.ID(lagos), "phone_number": lagos, "country": "NG", "number_type": "mobile",
		"capabilities": []any{"inbound"}, "provider": "Twilio", "status": "available", "user_id": nil, "configuration_status": "unconfigured", "assigned_at": nil}
	if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
		t.Errorf("%d %s %s", a.Status, a.Text, diff)
	}
	if left := b.left(); left != 0 {
		t.Errorf("LiveKit holds %d objects", left)
	}
	n, err := b.NumberByID(t.Context(), number.ID(lagos))
	if err != nil || n.UserID != "" || n.Trunk != nil || n.Rule != nil || !n.AssignedAt.IsZero() {
		t.Errorf("%+v %v", n, err)
	}
	entries, _, err := b.Audit(t.Context(), number.ID(lagos), 10, "")
	if diff := cmp.Diff([]numberrequest.Entry{{At: now, Actor: "carol", Action: "released", From: "assigned", To: "available", Note: "from ada"}}, entries); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if a := b.release(lagos); a.Status != 409 {
		t.Errorf("again: %d %s", a.Status, a.Text)
	}
}

// TestEveryStepFails checks that a failed request to LiveKit leaves the number with its owner, and
// that releasing it again finishes the work.
func TestEveryStepFails(t *testing.T) {
	t.Parallel()
	for at := range 6 {
		for _, f := range livekittest.Faults {
			t.Run(fmt.Sprintf("%d/%d", at, f), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.livekit.FailAt(at, f)
				if a := b.release(lagos); a.Status != 503 {
					t.Fatalf("%d %s", a.Status, a.Text)
				}
				if _, err := b.Number(t.Context(), "ada", number.ID(lagos)); err != nil {
					t.Error(err)
				}
				if a := b.release(lagos); a.Status != 200 || a.Body["status"] != "available" || b.left() != 0 {
					t.Errorf("again: %d %s, LiveKit holds %d objects", a.Status, a.Text, b.left())
				}
			})
		}
	}
}

func TestWakesWhoWaits(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		b := setup(t)
		const id = "req_01KAMPJ5V0SAMP0REQ00000000"
		_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "bob", Country: "NG", Type: "mobile", Purpose: "p", CreatedAt: now})
		b.Must(err)
		_, err = b.Decide(t.Context(), id, numberrequest.Decision{Approve: true, By: "carol"}, now)
		b.Must(err)
		_, _, err = b.AwaitRequest(t.Context(), id, "bob waits", numberrequest.AwaitsNumber)
		b.Must(err)
		b.Workflows.Down(down)
		a := b.release(lagos)
		var want []string
		if !down {
			want = []string{"bob waits"}
		}
		if diff := cmp.Diff(want, b.Workflows.Sent()); a.Status != 200 || diff != "" {
			t.Errorf("%d %s %s", a.Status, a.Text, diff)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, key := b.Key("carol", account.Scopes()...)
	own := path + number.ID(lagos) + "/release"
	for name, c := range map[string]struct {
		credential, path string
		want             int
	}{
		"its owner":              {b.User("ada"), own, 403},
		"an administrator's key": {key, own, 403},
		"an unknown number":      {b.Admin("carol"), path + number.ID("+1") + "/release", 404},
		"no number id":           {b.Admin("carol"), strings.Replace(own, "pn_", "req_", 1), 404},
	} {
		if a := b.Ask(c.credential, "POST", c.path, ""); a.Status != c.want {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	if _, err := b.LeaseNumber(t.Context(), "ada", number.ID(lagos), "somebody", time.Minute); err != nil {
		t.Fatal(err)
	}
	if a := b.release(lagos); a.Status != 409 {
		t.Errorf("while it is being configured: %d %s", a.Status, a.Text)
	}
	if left := b.left(); left != 3 {
		t.Errorf("LiveKit holds %d objects", left)
	}
}
