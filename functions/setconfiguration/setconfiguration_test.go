package setconfiguration_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/setconfiguration"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	lk "github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
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

// bench is the endpoint with a database, a LiveKit and a caller's key.
type bench struct {
	*storetest.Database
	t       *testing.T
	livekit *livekittest.Server
	now     atomic.Int64 // seconds that the clock was moved
	clock   func() time.Time
	handler http.Handler
	key     string
	log     *bytes.Buffer
	zone    carriertest.Zone
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, livekit: livekittest.New(t), log: &bytes.Buffer{}, zone: carriertest.Zone{}}
	start := time.Now()
	now := func() time.Time { return start.Add(time.Duration(b.now.Load()) * time.Second) }
	b.clock, b.Database = now, storetest.Open(t, now)
	client := lk.Open(lk.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	edge := &api.Edge{Keys: b.DB, Now: now, Log: slog.New(slog.NewJSONHandler(b.log, nil))}
	b.handler = edge.Handler(&setconfiguration.Endpoint{Numbers: b.DB, Limits: b.DB, LiveKit: client, Now: now,
		Carriers: &carrier.Checker{Resolver: b.zone}})
	for e164, owner := range map[string]string{mine: user, mineToo: user, foreign: "usr_b"} {
		n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound", "outbound"},
			UserID: owner, AssignedAt: start, UpdatedAt: start}
		if err := b.PutNumber(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	const id = "key_01JD8Z7N5R4T3V2W1X0YABCDEF"
	text, err := account.NewKey(id, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, sum, _ := account.ParseKey(text)
	if err := b.PutKey(t.Context(), account.Key{ID: id, UserID: user, Hash: sum[:], Scopes: []string{account.NumbersWrite}, CreatedAt: start}); err != nil {
		t.Fatal(err)
	}
	b.key = text
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

// configure sends a request and returns the status and the body.
func (b *bench) configure(e164 string, body any) (int, []byte) {
	b.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, "/outbound-calls/phone-numbers/"+number.ID(e164)+"/configure", bytes.NewReader(raw))
	r.Header.Set("Authorization", "Bearer "+b.key)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

func (b *bench) must(body any) view.Configuration {
	b.t.Helper()
	status, raw := b.configure(mine, body)
	if status != http.StatusOK {
		b.t.Fatalf("%d %s", status, raw)
	}
	var v view.Configuration
	if err := json.Unmarshal(raw, &v); err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *bench) stored() number.Number {
	b.t.Helper()
	n, err := b.Number(b.t.Context(), user, number.ID(mine))
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bench) wantObjects(outbound, inbound, rules int) {
	b.t.Helper()
	if o, i, r := b.livekit.Count(); o != outbound || i != inbound || r != rules {
		b.t.Errorf("LiveKit holds %d outbound, %d inbound, %d rules; want %d, %d, %d", o, i, r, outbound, inbound, rules)
	}
}

// invariants checks what must hold in every state that LiveKit may be left in: no inbound
// trunk is open to the world, each takes calls only to the number, and each rule belongs to
// one inbound trunk.
func (b *bench) invariants() {
	b.t.Helper()
	inbound := map[string]bool{}
	for _, t := range b.livekit.Inbound() {
		inbound[t.SipTrunkId] = true
		if len(t.AllowedAddresses) == 0 && (t.AuthUsername == "" || t.AuthPassword == "") {
			b.t.Errorf("inbound trunk %s is open to the world", t.SipTrunkId)
		}
		if len(t.Numbers) != 1 || t.Numbers[0] != mine {
			b.t.Errorf("inbound trunk %s takes calls to %v", t.SipTrunkId, t.Numbers)
		}
	}
	for _, r := range b.livekit.Rules() {
		if len(r.TrunkIds) != 1 || !inbound[r.TrunkIds[0]] {
			b.t.Errorf("rule %s hangs on %v", r.SipDispatchRuleId, r.TrunkIds)
		}
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.must(both())
	// One round trip each for the key, the lease, reading the hour, counting it, and the record.
	if trips, requests := b.Trips(), b.livekit.Requests(); trips != 5 || len(requests) != 5 {
		t.Errorf("first: %d DynamoDB round trips, LiveKit requests %v", trips, requests)
	}
	id := func(s string) *string { return &s }
	want := view.Configuration{PhoneNumberID: number.ID(mine), PhoneNumber: mine, Status: number.Configured,
		Trunk: &view.Trunk{Name: "Twilio Lagos", Address: "krosai.pstn.twilio.com", Numbers: []string{mine}, AuthUsername: "kros",
			HasAuthPassword: true, DestinationCountry: "NG", Transport: "tls", Directions: []string{"outbound", "inbound"},
			AllowedAddresses: []string{"54.172.60.0/30"}, OutboundTrunkID: id("ST_000001"), InboundTrunkID: id("ST_000002")},
		DispatchRule: &view.DispatchRule{RuleName: "Support line", RoomPrefix: "support-", AgentName: "support-agent", DispatchRuleID: id("SDR_000003"), MaxDuration: 14400},
		UpdatedAt:    first.UpdatedAt}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == "._" }, cmp.Ignore())
	if diff := cmp.Diff(want, first, ignore, cmp.Transformer("time", func(t api.Time) time.Time { return time.Time(t) })); diff != "" {
		t.Error(diff)
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
	second := b.must(both())
	second.UpdatedAt = first.UpdatedAt
	if diff := cmp.Diff(first, second, ignore, cmp.Transformer("time", func(t api.Time) time.Time { return time.Time(t) })); diff != "" {
		t.Error(diff)
	}
	if asked := b.livekit.Requests()[before:]; len(asked) != 3 {
		t.Errorf("second: %v", asked)
	}
	b.wantObjects(1, 1, 1)

	// A change keeps LiveKit's ids.
	before = len(b.livekit.Requests())
	changed := rule()
	changed["agent_name"] = "sales-agent"
	b.must(object{"sip_trunk": trunk(object{"name": "Twilio", "auth_password": "canary-2"}), "dispatch_rule": changed})
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
	if status, raw := b.configure(mine, object{"sip_trunk": trunk(object{"auth_password": nil})}); status != 400 || !strings.Contains(string(raw), "sip_trunk.auth_password") {
		t.Errorf("no password at first: %d %s", status, raw)
	}
	b.must(both())
	kept := b.must(object{"sip_trunk": trunk(object{"auth_password": nil, "name": "Renamed", "address": "KROSAI.pstn.twilio.com"})})
	if !kept.Trunk.HasAuthPassword || b.livekit.Outbound()[0].AuthPassword != "canary-1" {
		t.Error("the password was not kept")
	}
	for _, address := range []string{"evil.carrier.net", "krosai.pstn.twilio.com:5062"} {
		status, raw := b.configure(mine, object{"sip_trunk": trunk(object{"auth_password": nil, "address": address})})
		if status != 400 || !strings.Contains(string(raw), "sip_trunk.auth_password") || b.livekit.Outbound()[0].Address != "krosai.pstn.twilio.com" {
			t.Errorf("%s: %d %s", address, status, raw)
		}
	}
	b.must(object{"sip_trunk": trunk(object{"address": "other.carrier.net", "auth_password": "canary-3"})})
	if o := b.livekit.Outbound()[0]; o.Address != "other.carrier.net" || o.AuthPassword != "canary-3" {
		t.Errorf("%v", o)
	}
	// Without allowed addresses inbound calls authenticate, here with the password that was kept.
	b.must(object{"sip_trunk": trunk(object{"address": "other.carrier.net", "auth_password": nil, "allowed_addresses": nil})})
	if in := b.livekit.Inbound()[0]; in.AuthUsername != "kros" || in.AuthPassword != "canary-3" || len(in.AllowedAddresses) != 0 {
		t.Errorf("%v", in)
	}
	open := b.must(object{"sip_trunk": trunk(object{"address": "other.carrier.net", "auth_password": nil, "auth_username": nil})})
	if o := b.livekit.Outbound()[0]; open.Trunk.HasAuthPassword || o.AuthPassword != "" || o.AuthUsername != "" {
		t.Errorf("%v", o)
	}
	b.invariants()
	for where, text := range map[string]string{"log": b.log.String(), "record": fmt.Sprintf("%+v", *b.stored().Trunk)} {
		if strings.Contains(text, "canary") {
			t.Errorf("a password is in the %s", where)
		}
	}
}

// TestParts checks that trunk and rule may come in any order, and that directions may change.
func TestParts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.must(object{"dispatch_rule": rule()})
	if v.Status != number.Partial || v.DispatchRule.DispatchRuleID != nil {
		t.Errorf("rule alone: %+v", v)
	}
	b.wantObjects(0, 0, 0)
	v = b.must(object{"sip_trunk": trunk(object{"directions": []string{"outbound"}})})
	if v.Status != number.Configured || v.DispatchRule.DispatchRuleID != nil || v.Trunk.InboundTrunkID != nil {
		t.Errorf("outbound only: %+v", v)
	}
	b.wantObjects(1, 0, 0)
	v = b.must(object{"sip_trunk": trunk()})
	if v.DispatchRule.DispatchRuleID == nil {
		t.Errorf("the rule did not join: %+v", v)
	}
	b.wantObjects(1, 1, 1)
	v = b.must(object{"sip_trunk": trunk(object{"directions": []string{"inbound"}, "address": nil})})
	if v.Trunk.OutboundTrunkID != nil || v.DispatchRule.DispatchRuleID == nil || b.stored().CanCall() {
		t.Errorf("inbound only: %+v", v)
	}
	b.wantObjects(0, 1, 1)
	v = b.must(object{"sip_trunk": trunk(object{"directions": []string{"outbound"}, "numbers": []string{mineToo, mine, mine}})})
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
		status, raw := b.configure(mine, tt.body)
		var p api.Problem
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		if status != 400 || len(p.Errors) != 1 || p.Errors[0].Field != tt.field {
			t.Errorf("%s: %d %s", name, status, raw)
		}
		if strings.Contains(string(raw), "canary") {
			t.Errorf("%s: the password is in %s", name, raw)
		}
	}
	for name, e164 := range map[string]string{"foreign": foreign, "unknown": "+14155550100"} {
		if status, raw := b.configure(e164, both()); status != 404 {
			t.Errorf("%s number: %d %s", name, status, raw)
		}
	}
	b.wantObjects(0, 0, 0)
	b.must(both()) // no refusal kept the lease
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
						b.must(sc.before)
					}
					was, objects := b.stored(), b.snapshot()
					b.livekit.FailAt(at, f)
					status, raw := b.configure(mine, sc.body)
					if status != 503 || !strings.Contains(string(raw), "TELEPHONY_UNAVAILABLE") {
						t.Fatalf("%d %s", status, raw)
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
				b.must(before)
			}
			n := 3 // the lists succeed, and the first write happens but its reply is lost
			if before == nil {
				n = 2
			}
			for i := n; i < 20; i++ {
				b.livekit.FailAt(i, livekittest.ResetAfter)
			}
			if status, raw := b.configure(mine, body); status != 503 {
				t.Fatalf("%d %s", status, raw)
			}
			if got := b.stored().Configuration(); got != number.Broken {
				t.Errorf("status %s", got)
			}
			for i := range 20 {
				b.livekit.FailAt(i, livekittest.None)
			}
			if status, raw := b.configure(mine, object{"dispatch_rule": rule()}); before != nil && (status != 409 || !strings.Contains(string(raw), "half way")) {
				t.Errorf("rule alone on a faulty number: %d %s", status, raw)
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
			if err != nil {
				t.Fatal(err)
			}
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
			if status, raw := b.configure(mine, both()); status != 409 {
				t.Errorf("while leased: %d %s", status, raw)
			}
			b.now.Add(61)
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
	b.must(both())
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
			switch status, raw := b.configure(mine, both()); status {
			case 200:
				won.Add(1)
			case 409, 429:
				lost.Add(1)
			default:
				t.Errorf("%d %s", status, raw)
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
	b.now.Store(int64(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)).Seconds()) + 1) // so that the hour does not end during the test
	left := func(want string) {
		t.Helper()
		limit, err := b.SpendConfiguration(t.Context(), user, "", b.clock())
		if err == nil {
			err = b.GiveBackConfiguration(t.Context(), user, b.clock())
		}
		if got := fmt.Sprint(limit.Left() + 1); err != nil || got != want {
			t.Errorf("%s left, want %s; %v", got, want, err)
		}
	}
	left("10")
	b.configure(mine, object{"sip_trunk": trunk(object{"auth_password": nil})})
	b.configure(foreign, both())
	b.livekit.FailAt(0, livekittest.ResetBefore)
	if status, _ := b.configure(mine, both()); status != 503 {
		t.Errorf("while LiveKit is down: %d", status)
	}
	left("10")
	b.must(both())
	left("9")
	b.livekit.FailAt(4, livekittest.ResetAfter)
	if status, _ := b.configure(mine, object{"sip_trunk": trunk(object{"name": "New", "auth_password": "canary-2"})}); status != 503 {
		t.Errorf("half way: %d", status)
	}
	left("9")
	for range 9 {
		b.must(both())
	}
	asked := len(b.livekit.Requests())
	if status, raw := b.configure(mine, both()); status != 429 || !strings.Contains(string(raw), `"code":"RATE_LIMIT_EXCEEDED"`) || len(b.livekit.Requests()) != asked {
		t.Errorf("the eleventh: %d %s", status, raw)
	}
	b.now.Add(3600)
	b.must(both())
}

// TestNumberTakenElsewhere checks that another project's trunk for the number is a conflict and
// that nothing is left behind.
func TestNumberTakenElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.livekit.AddInbound(&livekit.SIPInboundTrunkInfo{Name: "by hand", Numbers: []string{mine}, AllowedAddresses: []string{"1.2.3.4"}})
	status, raw := b.configure(mine, both())
	if status != 409 || !strings.Contains(string(raw), "takes calls to this number") {
		t.Errorf("%d %s", status, raw)
	}
	b.wantObjects(0, 1, 0)
	if got := b.stored().Configuration(); got != number.Unconfigured {
		t.Errorf("status %s", got)
	}
}

// repaired configures the number. It checks that LiveKit holds one of each object that body asks
// for and that the record agrees.
func (b *bench) repaired(body any) {
	b.t.Helper()
	v := b.must(body)
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
		b.t.Error("still faulty")
	}
}

// recordIsTrue checks that the record names exactly the objects that LiveKit holds.
func (b *bench) recordIsTrue() {
	b.t.Helper()
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
		b.t.Errorf("the record names -, LiveKit holds +: %s", diff)
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
