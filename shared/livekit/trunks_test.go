package livekit

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
)

var aNumber = number.Number{ID: number.ID("+2348012345678"), E164: "+2348012345678", UserID: "usr_a"}

func aWish() Desired {
	auth := Auth{Username: "kros", Password: secret.New("canary")}
	return Desired{Trunks: &Trunks{
		Outbound: &OutboundTrunk{Name: "T", Address: "a.carrier.net", Transport: "udp", Numbers: []string{aNumber.E164}, Auth: auth},
		Inbound:  &InboundTrunk{Name: "T", Auth: auth}},
		Rule: &DispatchRule{Name: "R", RoomPrefix: "x-", AgentName: "agent"}}
}

// A SIPConfiguration holds LiveKit's passwords and never shows them.
func TestSIPConfigurationShowsNoPassword(t *testing.T) {
	t.Parallel()
	client := Open(config(livekittest.New(t).URL))
	have, err := client.Apply(t.Context(), SIPConfiguration{number: aNumber}, aWish())
	if err != nil || !have.HasPassword() {
		t.Fatal(have, err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("wiring", "w", have, "p", &have)
	encoded, err := json.Marshal(map[string]any{"w": have, "p": &have})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(have, &have), fmt.Sprintf("%+v %#v %v %q", have, have, &have, have), log.String(), string(encoded)} {
		if strings.Contains(s, "canary") || !strings.Contains(s, "ST_") {
			t.Errorf("%s", s)
		}
	}
}

// TestInboundTrunkAsks: Apply creates no trunk that would admit everybody, as one does whose
// entries are all ignored by LiveKit because none of them is an address.
func TestInboundTrunkAsks(t *testing.T) {
	t.Parallel()
	auth := Auth{Username: "u", Password: secret.New("p")}
	for name, tt := range map[string]struct {
		trunk InboundTrunk
		made  bool
	}{
		"an address":                         {InboundTrunk{AllowedAddresses: []string{"54.172.60.1"}}, true},
		"a network":                          {InboundTrunk{AllowedAddresses: []string{"54.172.60.0/30", "2001:db8::/32"}}, true},
		"a password":                         {InboundTrunk{Auth: auth}, true},
		"nothing":                            {InboundTrunk{}, false},
		"a host name":                        {InboundTrunk{AllowedAddresses: []string{"sip.carrier.net"}}, false},
		"no address at all":                  {InboundTrunk{AllowedAddresses: []string{"", "*", "54.172.60.1:5060", "54.172.60.0/33"}}, false},
		"a mask":                             {InboundTrunk{AllowedAddresses: []string{"54.172.60.*"}}, false},
		"one that is no address":             {InboundTrunk{AllowedAddresses: []string{"54.172.60.1", "carrier"}}, false},
		"a password, and what is no address": {InboundTrunk{Auth: auth, AllowedAddresses: []string{"carrier"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := livekittest.New(t)
			tt.trunk.Name = "T"
			_, err := Open(config(server.URL)).Apply(t.Context(), SIPConfiguration{number: aNumber}, Desired{Trunks: &Trunks{Inbound: &tt.trunk}})
			if _, made, _ := server.Count(); (err == nil) != tt.made || (made == 1) != tt.made {
				t.Errorf("%v, %d trunks", err, made)
			}
		})
	}
}

// Objects that an interrupted request left behind are adopted once, and their duplicates are
// deleted. Objects of other users on the same number stay.
func TestApplyAdopts(t *testing.T) {
	t.Parallel()
	server := livekittest.New(t)
	client, ctx := Open(config(server.URL)), t.Context()
	other := aNumber
	other.ID, other.UserID = number.ID("+2348000000000"), "usr_b"
	for range 3 { // duplicates, as retried creates make them
		w := aWish()
		w.Trunks.Inbound, w.Rule = nil, nil
		if _, err := client.Apply(ctx, SIPConfiguration{number: aNumber}, w); err != nil {
			t.Fatal(err)
		}
	}
	theirs := aWish()
	theirs.Trunks.Inbound = nil
	if _, err := client.Apply(ctx, SIPConfiguration{number: other}, theirs); err != nil {
		t.Fatal(err)
	}
	n := aNumber
	n.Trunk = &number.Trunk{OutboundID: "ST_000002"}
	have, err := client.SIPConfiguration(ctx, n)
	if err != nil || have.OutboundID() != "ST_000002" || len(have.outbound) != 3 {
		t.Fatal(have, err)
	}
	done, err := client.Apply(ctx, have, aWish())
	if err != nil || done.OutboundID() != "ST_000002" || done.InboundID() == "" || done.RuleID() == "" {
		t.Fatal(done, err)
	}
	if diff := cmp.Diff([]string{"ST_000002", "ST_000004"}, ids(server)); diff != "" {
		t.Error(diff)
	}
	// A rule whose trunk was deleted by hand is found by its id and attached to the new trunk.
	inbound := done.InboundID()
	if err := client.deleteTrunk(ctx, inbound); err != nil {
		t.Fatal(err)
	}
	n.Rule = &number.Rule{ID: done.RuleID()}
	have, err = client.SIPConfiguration(ctx, n)
	if err != nil || have.RuleID() != done.RuleID() || have.InboundID() != "" {
		t.Fatal(have, err)
	}
	again, err := client.Apply(ctx, have, aWish())
	if err != nil || again.RuleID() != done.RuleID() || again.InboundID() == inbound {
		t.Fatal(again, err)
	}
	if rules := server.Rules(); len(rules) != 1 || rules[0].TrunkIds[0] != again.InboundID() || len(rules[0].Numbers) > 0 {
		t.Errorf("%v", rules)
	}
}

func ids(s *livekittest.Server) []string {
	var out []string
	for _, t := range s.Outbound() {
		out = append(out, t.SipTrunkId)
	}
	return out
}

// An update keeps the fields that the platform does not set.
func TestUpdateKeepsForeignFields(t *testing.T) {
	t.Parallel()
	server := livekittest.New(t)
	client, ctx := Open(config(server.URL)), t.Context()
	have, err := client.Apply(ctx, SIPConfiguration{number: aNumber}, aWish())
	if err != nil {
		t.Fatal(err)
	}
	wish := aWish()
	wish.Trunks.Inbound.Auth, wish.Trunks.Inbound.AllowedAddresses = Auth{}, []string{"54.172.60.0/30"}
	wish.Trunks.Outbound.Auth.Password = secret.Secret{} // kept
	if _, err := client.Apply(ctx, have, wish); err != nil {
		t.Fatal(err)
	}
	in, out := server.Inbound()[0], server.Outbound()[0]
	if in.MaxCallDuration == nil || in.AuthUsername != "" || in.AuthPassword != "" || len(in.AllowedAddresses) != 1 {
		t.Errorf("%v", in)
	}
	if out.AuthPassword != "canary" || out.Transport != lk.SIPTransport_SIP_TRANSPORT_UDP {
		t.Errorf("%v", out)
	}
}

// A rule of an older version, with a shorter departure timeout, is brought up to date.
func TestRuleOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	server := livekittest.New(t)
	client, ctx := Open(config(server.URL)), t.Context()
	have, err := client.Apply(ctx, SIPConfiguration{number: aNumber}, aWish())
	if err != nil {
		t.Fatal(err)
	}
	have.rules[0].RoomConfig.DepartureTimeout = 0
	if _, err := client.saveRule(ctx, have.rules[0], have.rules[0], have.InboundID()); err != nil {
		t.Fatal(err)
	}
	if have, err = client.Apply(ctx, have, aWish()); err != nil || have.rules[0].RoomConfig.DepartureTimeout != 90 {
		t.Errorf("%v, %v", have.rules, err)
	}
}
