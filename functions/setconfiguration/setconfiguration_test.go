package setconfiguration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/setconfiguration"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	lk "github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/validate/carrier"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/view"
)

const (
	mine    = "+2348012345678"
	mineToo = "+2348012345679"
	foreign = "+2348099999999"
	user    = "usr_a"
)

// bench serves the endpoint, with a LiveKit, the zone of the carriers' names and a caller's key.
type bench struct {
	*apitest.Bench
	livekit *livekittest.Server
	zone    carriertest.Zone
	moved   atomic.Int64 // seconds that the clock was moved
	key     string
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{livekit: livekittest.New(t), zone: carriertest.Zone{}}
	start := time.Now()
	b.Bench = apitest.Open(t, func() time.Time { return start.Add(time.Duration(b.moved.Load()) * time.Second) })
	client := lk.Open(lk.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	b.Serve(&setconfiguration.Endpoint{Numbers: b.DB, Limits: b.DB, LiveKit: client, Now: b.Now, Carriers: &carrier.Checker{Resolver: b.zone}})
	for e164, owner := range map[string]string{mine: user, mineToo: user, foreign: "usr_b"} {
		b.Must(b.PutNumber(t.Context(), number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile",
			Capabilities: []string{"inbound", "outbound"}, UserID: owner, AssignedAt: start, UpdatedAt: start}))
	}
	_, b.key = b.Key(user, account.NumbersWrite)
	b.Trips()
	return b
}

type object = map[string]any

func trunk(change ...object) object {
	t := object{"name": "Twilio Lagos", "address": "krosai.pstn.twilio.com", "auth_username": "kros", "auth_password": "canary-1",
		"destination_country": "NG", "transport": "tls", "allowed_addresses": []string{"54.172.60.0/30"}}
	for _, c := range change {
		for k, v := range c {
			if v == nil {
				delete(t, k)
			} else {
				t[k] = v
			}
		}
	}
	return t
}

func rule() object {
	return object{"rule_name": "Support line", "room_prefix": "support-", "agent_name": "support-agent"}
}

func both() object { return object{"sip_trunk": trunk(), "dispatch_rule": rule()} }

func (b *bench) configure(e164 string, body any) apitest.Answer {
	b.Helper()
	raw, err := json.Marshal(body)
	b.Must(err)
	return b.Ask(b.key, "POST", "/outbound-calls/phone-numbers/"+number.ID(e164)+"/configure", string(raw))
}

// accepted configures the number and returns the configuration that the answer shows.
func (b *bench) accepted(body any) (v view.Configuration) {
	b.Helper()
	a := b.configure(mine, body)
	if a.Status != http.StatusOK {
		b.Fatalf("%d %s", a.Status, a.Text)
	}
	b.Must(json.Unmarshal([]byte(a.Text), &v))
	return v
}

func (b *bench) stored() number.Number {
	b.Helper()
	n, err := b.Number(b.Context(), user, number.ID(mine))
	b.Must(err)
	return n
}

func (b *bench) wantObjects(outbound, inbound, rules int) {
	b.Helper()
	if o, i, r := b.livekit.Count(); o != outbound || i != inbound || r != rules {
		b.Errorf("LiveKit holds %d outbound, %d inbound, %d rules; want %d, %d, %d", o, i, r, outbound, inbound, rules)
	}
}

// invariants checks what must hold in every state that LiveKit may be left in: no inbound
// trunk is open to the world, each takes calls only to the number, and each rule belongs to
// one inbound trunk.
func (b *bench) invariants() {
	b.Helper()
	inbound := map[string]bool{}
	for _, t := range b.livekit.Inbound() {
		inbound[t.SipTrunkId] = true
		if len(t.AllowedAddresses) == 0 && (t.AuthUsername == "" || t.AuthPassword == "") {
			b.Errorf("inbound trunk %s is open to the world", t.SipTrunkId)
		}
		if len(t.Numbers) != 1 || t.Numbers[0] != mine {
			b.Errorf("inbound trunk %s takes calls to %v", t.SipTrunkId, t.Numbers)
		}
	}
	for _, r := range b.livekit.Rules() {
		if len(r.TrunkIds) != 1 || !inbound[r.TrunkIds[0]] {
			b.Errorf("rule %s hangs on %v", r.SipDispatchRuleId, r.TrunkIds)
		}
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.configure(mine, both())
	// One round trip each for the key, the lease, reading the hour, counting it, and the record.
	if trips, requests := b.Trips(), b.livekit.Requests(); trips != 5 || len(requests) != 5 {
		t.Errorf("first: %d DynamoDB round trips, LiveKit requests %v", trips, requests)
	}
	want := object{
		"phone_number_id":      number.ID(mine),
		"phone_number":         mine,
		"configuration_status": "configured",
		"updated_at":           first.Body["updated_at"],
		"sip_trunk": object{
			"name":                "Twilio Lagos",
			"address":             "krosai.pstn.twilio.com",
			"numbers":             []any{mine},
			"auth_username":       "kros",
			"has_auth_password":   true,
			"destination_country": "NG",
			"transport":           "tls",
			"directions":          []any{"outbound", "inbound"},
			"allowed_addresses":   []any{"54.172.60.0/30"},
			"outbound_trunk_id":   "ST_000001",
			"inbound_trunk_id":    "ST_000002",
		},
		"dispatch_rule": object{
			"rule_name":              "Support line",
			"room_prefix":            "support-",
			"agent_name":             "support-agent",
			"dispatch_rule_id":       "SDR_000003",
			"max_concurrent_inbound": nil,
			"max_duration_seconds":   14400.0,
		},
	}
	if diff := cmp.Diff(want, first.Body); first.Status != http.StatusOK || diff != "" {
		t.Errorf("%d %s", first.Status, diff)
	}
	b.invariants()

	out, in, r := b.livekit.Outbound()[0], b.livekit.Inbound()[0], b.livekit.Rules()[0]
	if out.AuthPassword != "canary-1" || out.Transport != livekit.SIPTransport_SIP_TRANSPORT_TLS || out.DestinationCountry != "NG" {
		t.Errorf("outbound trunk %v", out)
	}
	if in.AuthUsername != "" || in.MaxCallDuration.AsDuration() != 4*time.Hour || in.RingingTimeout.AsDuration() != 30*time.Second {
		t.Errorf("inbound trunk %v", in)
	}
	prefix := r.Rule.GetDispatchRuleIndividual().GetRoomPrefix()
	if prefix != number.RoomPrefix(user, "support-") || len(prefix) != 8+1+len("support-") || r.RoomConfig.DepartureTimeout != 90 || r.RoomConfig.Agents[0].AgentName != "support-agent" {
		t.Errorf("rule %v", r)
	}

	// The same request again only reads from LiveKit.
	before := len(b.livekit.Requests())
	second := b.configure(mine, both())
	want["updated_at"] = second.Body["updated_at"]
	if diff := cmp.Diff(want, second.Body); second.Status != http.StatusOK || diff != "" {
		t.Errorf("%d %s", second.Status, diff)
	}
	if asked := b.livekit.Requests()[before:]; len(asked) != 3 {
		t.Errorf("second: %v", asked)
	}
	b.wantObjects(1, 1, 1)

	// A change keeps LiveKit's ids.
	before = len(b.livekit.Requests())
	changed := rule()
	changed["agent_name"] = "sales-agent"
	b.accepted(object{"sip_trunk": trunk(object{"name": "Twilio", "auth_password": "canary-2"}), "dispatch_rule": changed})
	if got := b.livekit.Requests()[before:]; len(got) != 6 {
		t.Errorf("change: %v", got)
	}
	b.wantObjects(1, 1, 1)
	o := b.livekit.Outbound()[0]
	if o.SipTrunkId != out.SipTrunkId || o.AuthPassword != "canary-2" || o.Name != "Twilio" || b.livekit.Rules()[0].RoomConfig.Agents[0].AgentName != "sales-agent" ||
		b.livekit.Rules()[0].SipDispatchRuleId != r.SipDispatchRuleId {
		t.Errorf("after the change: %v %v", o, b.livekit.Rules()[0])
	}
	b.invariants()
}

func TestPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.configure(mine, object{"sip_trunk": trunk(object{"auth_password": nil})}); a.Status != 400 || a.Fields()["sip_trunk.auth_password"] == "" {
		t.Errorf("no password at first: %d %s", a.Status, a.Text)
	}
	b.accepted(both())
	kept := b.accepted(object{"sip_trunk": trunk(object{"auth_password": nil, "name": "Renamed", "address": "KROSAI.pstn.twilio.com"})})
	if !kept.Trunk.HasAuthPassword || b.livekit.Outbound()[0].AuthPassword != "canary-1" {
		t.Error("the password was not kept")
	}
	for _, address := range []string{"evil.carrier.net", "krosai.pstn.twilio.com:5062"} {
		a := b.configure(mine, object{"sip_trunk": trunk(object{"auth_password": nil, "address": address})})
		if a.Status != 400 || a.Fields()["sip_trunk.auth_password"] == "" || b.livekit.Outbound()[0].Address != "krosai.pstn.twilio.com" {
			t.Errorf("%s: %d %s", address, a.Status, a.Text)
		}
	}
	b.accepted(object{"sip_trunk": trunk(object{"address": "other.carrier.net", "auth_password": "canary-3"})})
	if o := b.livekit.Outbound()[0]; o.Address != "other.carrier.net" || o.AuthPassword != "canary-3" {
		t.Errorf("%v", o)
	}
	// Without allowed addresses inbound calls authenticate, here with the password that was kept.
	b.accepted(object{"sip_trunk": trunk(object{"address": "other.carrier.net", "auth_password": nil, "allowed_addresses": nil})})
	if in := b.livekit.Inbound()[0]; in.AuthUsername != "kros" || in.AuthPassword != "canary-3" || len(in.AllowedAddresses) != 0 {
		t.Errorf("%v", in)
	}
	open := b.accepted(object{"sip_trunk": trunk(object{"address": "other.carrier.net", "auth_password": nil, "auth_username": nil})})
	if o := b.livekit.Outbound()[0]; open.Trunk.HasAuthPassword || o.AuthPassword != "" || o.AuthUsername != "" {
		t.Errorf("%v", o)
	}
	b.invariants()
	for where, text := range map[string]string{"log": b.Logged.String(), "record": fmt.Sprintf("%+v", *b.stored().Trunk)} {
		if strings.Contains(text, "canary") {
			t.Errorf("a password is in the %s", where)
		}
	}
}

// TestParts checks that trunk and rule may come in any order, and that directions may change.
func TestParts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.accepted(object{"dispatch_rule": rule()})
	if v.Status != number.Partial || v.DispatchRule.DispatchRuleID != nil {
		t.Errorf("rule alone: %+v", v)
	}
	b.wantObjects(0, 0, 0)
	v = b.accepted(object{"sip_trunk": trunk(object{"directions": []string{"outbound"}})})
	if v.Status != number.Configured || v.DispatchRule.DispatchRuleID != nil || v.Trunk.InboundTrunkID != nil {
		t.Errorf("outbound only: %+v", v)
	}
	b.wantObjects(1, 0, 0)
	v = b.accepted(object{"sip_trunk": trunk()})
	if v.DispatchRule.DispatchRuleID == nil {
		t.Errorf("the rule did not join: %+v", v)
	}
	b.wantObjects(1, 1, 1)
	v = b.accepted(object{"sip_trunk": trunk(object{"directions": []string{"inbound"}, "address": nil})})
	if v.Trunk.OutboundTrunkID != nil || v.DispatchRule.DispatchRuleID == nil || b.stored().CanCall() {
		t.Errorf("inbound only: %+v", v)
	}
	b.wantObjects(0, 1, 1)
	v = b.accepted(object{"sip_trunk": trunk(object{"directions": []string{"outbound"}, "numbers": []string{mineToo, mine, mine}})})
	b.wantObjects(1, 0, 0)
	if diff := cmp.Diff([]string{mine, mineToo}, v.Trunk.Numbers); diff != "" || v.DispatchRule.RuleName != "Support line" {
		t.Error(diff, v.DispatchRule)
	}
	b.invariants()
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	only := func(c ...object) object { return object{"sip_trunk": trunk(c...)} }
	ruled := func(k string, v any) object { r := rule(); r[k] = v; return object{"dispatch_rule": r} }
	tests := map[string]struct {
		body  any
		field string
	}{
		"nothing":                  {object{}, "body"},
		"foreign caller id":        {only(object{"numbers": []string{mine, foreign}}), "sip_trunk.numbers"},
		"unknown caller id":        {only(object{"numbers": []string{mine, "+14155550100"}}), "sip_trunk.numbers"},
		"without this number":      {only(object{"numbers": []string{mineToo}}), "sip_trunk.numbers"},
		"private address":          {only(object{"address": "10.0.0.1"}), "sip_trunk.address"},
		"loopback":                 {only(object{"address": "127.0.0.1:5060"}), "sip_trunk.address"},
		"SIP URI":                  {only(object{"address": "sip:a@carrier.net;transport=tcp"}), "sip_trunk.address"},
		"no address":               {only(object{"address": nil}), "sip_trunk.address"},
		"open to the world":        {only(object{"allowed_addresses": nil, "auth_username": nil, "auth_password": nil}), "sip_trunk.allowed_addresses"},
		"no address, so everybody": {only(object{"allowed_addresses": []string{"sip.carrier.net"}, "auth_username": nil, "auth_password": nil}), "sip_trunk.allowed_addresses[0]"},
		"everybody":                {only(object{"allowed_addresses": []string{"54.172.60.0/30", "0.0.0.0/0"}}), "sip_trunk.allowed_addresses[1]"},
		"password without a name":  {only(object{"auth_username": nil}), "sip_trunk.auth_username"},
		"line break in a name":     {only(object{"name": "a\r\nX-Evil: 1"}), "sip_trunk.name"},
		"line break in a user":     {only(object{"auth_username": "a\r\nb"}), "sip_trunk.auth_username"},
		"line break in a pass":     {only(object{"auth_password": "canary\r\n"}), "sip_trunk.auth_password"},
		"no such transport":        {only(object{"transport": "ws"}), "sip_trunk.transport"},
		"no such direction":        {only(object{"directions": []string{"sideways"}}), "sip_trunk.directions[0]"},
		"no direction":             {only(object{"directions": []string{}}), "sip_trunk.directions"},
		"country":                  {only(object{"destination_country": "Nigeria"}), "sip_trunk.destination_country"},
		"hidden option":            {only(object{"from_host": "evil.net"}), "sip_trunk.from_host"},
		"agent":                    {ruled("agent_name", "a b"), "dispatch_rule.agent_name"},
		"prefix":                   {ruled("room_prefix", "../x"), "dispatch_rule.room_prefix"},
	}
	for name, tt := range tests {
		a := b.configure(mine, tt.body)
		errs, _ := a.Body["errors"].([]any)
		if a.Status != 400 || len(errs) != 1 || a.Fields()[tt.field] == "" {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
		if strings.Contains(a.Text, "canary") {
			t.Errorf("%s: the password is in %s", name, a.Text)
		}
	}
	for name, e164 := range map[string]string{"foreign": foreign, "unknown": "+14155550100"} {
		if a := b.configure(e164, both()); a.Status != 404 {
			t.Errorf("%s number: %d %s", name, a.Status, a.Text)
		}
	}
	b.wantObjects(0, 0, 0)
	b.accepted(both()) // no refusal kept the lease
}

// TestEveryStepFails checks every LiveKit request and every way in which it can fail: all changes
// are undone, and a retry leaves one object of each kind.
func TestEveryStepFails(t *testing.T) {
	t.Parallel()
	scenarios := map[string]struct {
		before, body any
		steps        int
	}{
		"first":   {nil, both(), 5},
		"change":  {both(), object{"sip_trunk": trunk(object{"name": "New", "auth_password": "canary-2", "allowed_addresses": []string{"52.0.0.0/16"}}), "dispatch_rule": object{"rule_name": "New", "agent_name": "new"}}, 6},
		"shrink":  {both(), object{"sip_trunk": trunk(object{"directions": []string{"outbound"}})}, 5},
		"reverse": {object{"sip_trunk": trunk(object{"directions": []string{"outbound"}}), "dispatch_rule": rule()}, object{"sip_trunk": trunk(object{"directions": []string{"inbound"}})}, 5},
	}
	for name, sc := range scenarios {
		for at := range sc.steps {
			for _, f := range livekittest.Faults {
				t.Run(fmt.Sprintf("%s/%d/%d", name, at, f), func(t *testing.T) {
					t.Parallel()
					b := setup(t)
					if sc.before != nil {
						b.accepted(sc.before)
					}
					was, objects := b.stored(), b.snapshot()
					b.livekit.FailAt(at, f)
					a := b.configure(mine, sc.body)
					if a.Status != 503 || a.Code() != "TELEPHONY_UNAVAILABLE" {
						t.Fatalf("%d %s", a.Status, a.Text)
					}
					// LiveKit recovered at once, so all changes were undone.
					if diff := cmp.Diff(objects, b.snapshot()); diff != "" {
						t.Errorf("not taken back: %s", diff)
					}
					b.invariants()
					now := b.stored()
					if now.Fault || now.Configuration() != was.Configuration() {
						t.Errorf("status %s, was %s", now.Configuration(), was.Configuration())
					}
					b.recordIsTrue()
					b.repaired(sc.body)
				})
			}
		}
	}
}

// TestCompensationFails checks that a number is marked when LiveKit stays down, and that
// configuring it again repairs it.
func TestCompensationFails(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]any{"first": nil, "change": both()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			body := object{"sip_trunk": trunk(object{"name": "New", "auth_password": "canary-2"}), "dispatch_rule": rule()}
			if before != nil {
				b.accepted(before)
			}
			n := 3 // the lists succeed, and the first write happens but its reply is lost
			if before == nil {
				n = 2
			}
			for i := n; i < 20; i++ {
				b.livekit.FailAt(i, livekittest.ResetAfter)
			}
			if a := b.configure(mine, body); a.Status != 503 {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
			if got := b.stored().Configuration(); got != number.Broken {
				t.Errorf("status %s", got)
			}
			for i := range 20 {
				b.livekit.FailAt(i, livekittest.None)
			}
			if a := b.configure(mine, object{"dispatch_rule": rule()}); before != nil && (a.Status != 409 || !strings.Contains(a.Text, "half way")) {
				t.Errorf("rule alone on a faulty number: %d %s", a.Status, a.Text)
			}
			b.repaired(body)
		})
	}
}

// TestKilled simulates a crash between any two requests. The lease expires, the number shows the
// status error, and configuring it again leaves one object of each kind.
func TestKilled(t *testing.T) {
	t.Parallel()
	for at := range 6 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			client := lk.Open(lk.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
			ctx := t.Context()
			n, err := b.LeaseNumber(ctx, user, number.ID(mine), "dead", time.Minute)
			b.Must(err)
			// The requests up to the kill succeed. After it there is no undo and no record.
			for i := at; i < 10; i++ {
				b.livekit.FailAt(i, livekittest.ResetBefore)
			}
			have, err := client.SIPConfiguration(ctx, n)
			if err == nil {
				_, err = client.Apply(ctx, have, lk.Desired{
					Trunks: &lk.Trunks{Outbound: &lk.OutboundTrunk{Name: "Twilio", Address: "a.carrier.net", Numbers: []string{mine}},
						Inbound: &lk.InboundTrunk{Name: "Twilio", AllowedAddresses: []string{"54.172.60.0/30"}}},
					Rule: &lk.DispatchRule{Name: "Line", RoomPrefix: "x-", AgentName: "agent"}})
			}
			if (err == nil) != (at > 4) {
				t.Fatalf("killed at %d: %v", at, err)
			}
			for i := range 10 {
				b.livekit.FailAt(i, livekittest.None)
			}
			if a := b.configure(mine, both()); a.Status != 409 {
				t.Errorf("while leased: %d %s", a.Status, a.Text)
			}
			b.moved.Add(61)
			if got := b.stored().Configuration(); got != number.Broken {
				t.Errorf("status %s", got)
			}
			b.repaired(both())
		})
	}
}

// TestLostDatabaseReplies checks a configuration during which DynamoDB's first reply is lost.
func TestLostDatabaseReplies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.LoseReplies(1)
	b.accepted(both())
	b.wantObjects(1, 1, 1)
	b.recordIsTrue()
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var won, lost atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch a := b.configure(mine, both()); a.Status {
			case 200:
				won.Add(1)
			case 409, 429:
				lost.Add(1)
			default:
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	}
	all.Wait()
	if won.Load() == 0 || won.Load()+lost.Load() != 50 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
	b.wantObjects(1, 1, 1)
	b.invariants()
	b.recordIsTrue()
}

// TestHour checks the limit of ten configurations an hour. Failed configurations do not count.
func TestHour(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.moved.Store(int64(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)).Seconds()) + 1) // so that the hour does not end during the test
	left := func(want string) {
		t.Helper()
		limit, err := b.SpendConfiguration(t.Context(), user, "", b.Now())
		if err == nil {
			err = b.GiveBackConfiguration(t.Context(), user, b.Now())
		}
		if got := fmt.Sprint(limit.Left() + 1); err != nil || got != want {
			t.Errorf("%s left, want %s; %v", got, want, err)
		}
	}
	left("10")
	b.configure(mine, object{"sip_trunk": trunk(object{"auth_password": nil})})
	b.configure(foreign, both())
	b.livekit.FailAt(0, livekittest.ResetBefore)
	if a := b.configure(mine, both()); a.Status != 503 {
		t.Errorf("while LiveKit is down: %d", a.Status)
	}
	left("10")
	b.accepted(both())
	left("9")
	b.livekit.FailAt(4, livekittest.ResetAfter)
	if a := b.configure(mine, object{"sip_trunk": trunk(object{"name": "New", "auth_password": "canary-2"})}); a.Status != 503 {
		t.Errorf("half way: %d", a.Status)
	}
	left("9")
	for range 9 {
		b.accepted(both())
	}
	asked := len(b.livekit.Requests())
	if a := b.configure(mine, both()); a.Status != 429 || a.Code() != "RATE_LIMIT_EXCEEDED" || len(b.livekit.Requests()) != asked {
		t.Errorf("the eleventh: %d %s", a.Status, a.Text)
	}
	b.moved.Add(3600)
	b.accepted(both())
}

// TestNumberTakenElsewhere checks that another project's trunk for the number is a conflict and
// that nothing is left behind.
func TestNumberTakenElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.livekit.AddInbound(&livekit.SIPInboundTrunkInfo{Name: "by hand", Numbers: []string{mine}, AllowedAddresses: []string{"1.2.3.4"}})
	a := b.configure(mine, both())
	if a.Status != 409 || !strings.Contains(a.Text, "takes calls to this number") {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	b.wantObjects(0, 1, 0)
	if got := b.stored().Configuration(); got != number.Unconfigured {
		t.Errorf("status %s", got)
	}
}

// repaired configures the number. It checks that LiveKit holds one of each object that body asks
// for and that the record agrees.
func (b *bench) repaired(body any) {
	b.Helper()
	v := b.accepted(body)
	o, i, r := 0, 0, 0
	if v.Trunk.OutboundTrunkID != nil {
		o = 1
	}
	if v.Trunk.InboundTrunkID != nil {
		i = 1
	}
	if v.DispatchRule != nil && v.DispatchRule.DispatchRuleID != nil {
		r = 1
	}
	b.wantObjects(o, i, r)
	b.invariants()
	b.recordIsTrue()
	if b.stored().Fault {
		b.Error("still faulty")
	}
}

// recordIsTrue checks that the record names exactly the objects that LiveKit holds.
func (b *bench) recordIsTrue() {
	b.Helper()
	n := b.stored()
	var want, have []string
	if n.Trunk != nil {
		want = append(want, n.Trunk.OutboundID, n.Trunk.InboundID)
	}
	if n.Rule != nil {
		want = append(want, n.Rule.ID)
	}
	for _, t := range b.livekit.Outbound() {
		have = append(have, t.SipTrunkId)
	}
	for _, t := range b.livekit.Inbound() {
		have = append(have, t.SipTrunkId)
	}
	for _, r := range b.livekit.Rules() {
		have = append(have, r.SipDispatchRuleId)
	}
	want = nonEmpty(want)
	if diff := cmp.Diff(want, nonEmpty(have)); diff != "" {
		b.Errorf("the record names -, LiveKit holds +: %s", diff)
	}
}

func nonEmpty(in []string) []string {
	out := []string{}
	for _, s := range in {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// snapshot is the state of LiveKit without ids.
func (b *bench) snapshot() []string {
	out := []string{}
	for _, t := range b.livekit.Outbound() {
		out = append(out, fmt.Sprint("out ", t.Name, t.Address, t.AuthUsername, t.AuthPassword, t.Numbers, t.Metadata))
	}
	for _, t := range b.livekit.Inbound() {
		out = append(out, fmt.Sprint("in ", t.Name, t.AllowedAddresses, t.AuthUsername, t.AuthPassword, t.Numbers, t.Metadata))
	}
	for _, r := range b.livekit.Rules() {
		out = append(out, fmt.Sprint("rule ", r.Name, r.Rule.GetDispatchRuleIndividual().GetRoomPrefix(), r.RoomConfig.GetAgents()[0].AgentName, r.Metadata))
	}
	return out
}
