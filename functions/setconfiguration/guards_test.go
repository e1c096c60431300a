package setconfiguration_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/number"
)

// refused sends a request that must be refused without any effect, and returns the outcome.
func (b *bench) refused(body any) string {
	b.Helper()
	before := b.stored()
	a := b.configure(mine, body)
	if requests := b.livekit.Requests(); len(requests) != 0 {
		b.Errorf("LiveKit was asked: %v", requests)
	}
	if diff := cmp.Diff(before, b.stored()); diff != "" {
		b.Error(diff)
	}
	hour, err := b.SpendConfiguration(b.Context(), user, "", b.Now())
	if err == nil {
		err = b.GiveBackConfiguration(b.Context(), user, b.Now())
	}
	if err != nil || hour.Used != 1 {
		b.Errorf("the hour counts %d, %v", hour.Used-1, err)
	}
	return a.Outcome()
}

// TestAddressIsLookedUp checks that an address that does not resolve to public IP addresses only is
// refused with the field's name.
func TestAddressIsLookedUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.zone["vpc.acme.net"] = []string{"10.1.2.3"}
	b.zone["half.acme.net"] = []string{"54.172.60.0", "::1"}
	b.zone["metadata.acme.net"] = []string{"169.254.169.254"}
	b.zone["nowhere.acme.net"] = nil
	for address, code := range map[string]string{"vpc.acme.net": "malformed", "vpc.acme.net:5060": "malformed", "half.acme.net": "malformed",
		"metadata.acme.net:8080": "malformed", "nowhere.acme.net": "unknown_host"} {
		for _, directions := range [][]string{{"outbound"}, {"inbound"}, {"inbound", "outbound"}} {
			got := b.refused(object{"sip_trunk": trunk(object{"address": address, "directions": directions})})
			if want := "400 INVALID_REQUEST sip_trunk.address:" + code; got != want {
				t.Errorf("%s: %s, want %s", address, got, want)
			}
		}
	}
	b.accepted(both())
}

// TestAgentIsAllowed checks that a rule's agent must be one that the account may use.
func TestAgentIsAllowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := account.DefaultPolicy()
	p.AllowedAgents = []string{"ours", "ours-too"}
	b.Must(b.PutPolicy(t.Context(), user, p))
	if got := b.refused(both()); got != "403 AGENT_NOT_ALLOWED" {
		t.Error(got)
	}
	r := rule()
	r["agent_name"] = "ours-too"
	if v := b.accepted(object{"sip_trunk": trunk(), "dispatch_rule": r}); v.DispatchRule.AgentName != "ours-too" {
		t.Errorf("%+v", v.DispatchRule)
	}
	b.accepted(object{"sip_trunk": trunk()}) // a trunk names no agent
}

// TestRuleBounds checks that a rule limits how many calls its number takes and how long each may
// last. LiveKit gets the maximum duration, and nothing else of the trunk changes.
func TestRuleBounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	with := func(bounds object) object {
		r := rule()
		for k, v := range bounds {
			r[k] = v
		}
		return r
	}
	withPassword := trunk(object{"allowed_addresses": nil})
	v := b.accepted(object{"sip_trunk": withPassword, "dispatch_rule": with(object{"max_concurrent_inbound": 3, "max_duration_seconds": 600})})
	if v.DispatchRule.MaxConcurrent == nil || *v.DispatchRule.MaxConcurrent != 3 || v.DispatchRule.MaxDuration != 600 {
		t.Errorf("%+v", v.DispatchRule)
	}
	first := b.livekit.Inbound()[0]
	if first.MaxCallDuration.AsDuration() != 10*time.Minute {
		t.Errorf("trunk %v", first)
	}
	v = b.accepted(object{"dispatch_rule": with(object{"max_duration_seconds": 60})})
	if v.DispatchRule.MaxConcurrent != nil || v.DispatchRule.MaxDuration != 60 {
		t.Errorf("%+v", v.DispatchRule)
	}
	second := b.livekit.Inbound()[0]
	if second.SipTrunkId != first.SipTrunkId || second.MaxCallDuration.AsDuration() != time.Minute || second.AuthPassword != "canary-1" || second.AuthUsername != "kros" {
		t.Errorf("trunk %v", second)
	}
	if n := b.stored(); n.Rule.InboundSeconds() != 60 || n.Rule.MaxConcurrent != 0 {
		t.Errorf("record %+v", n.Rule)
	}
	b.accepted(object{"dispatch_rule": rule()})
	if in := b.livekit.Inbound()[0]; in.MaxCallDuration.AsDuration() != number.LongestInbound*time.Second {
		t.Errorf("trunk %v", in)
	}
	b.invariants()
	for _, bad := range []object{{"max_concurrent_inbound": 0}, {"max_concurrent_inbound": 1001}, {"max_duration_seconds": 9}, {"max_duration_seconds": 14401}} {
		if a := b.configure(mine, object{"dispatch_rule": with(bad)}); a.Status != http.StatusBadRequest {
			t.Errorf("%v: %d %s", bad, a.Status, a.Text)
		}
	}
}
