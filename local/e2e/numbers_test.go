package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"

	"github.com/krosai/telephony/local/platform"
	"github.com/krosai/telephony/shared/number"
)

// newNumber gives the demo user another number, as an administrator would.
func newNumber(t *testing.T, p *platform.Platform) (id, e164 string) {
	t.Helper()
	e164 = fmt.Sprintf("+23480%08d", 10000000+last.Add(1))
	n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", UserID: "demo",
		Capabilities: []string{"inbound", "outbound"}, AssignedAt: time.Now(), UpdatedAt: time.Now()}
	if err := p.DB.PutNumber(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n.ID, e164
}

func trunk(address, password string) request {
	return request{"name": "test", "address": address, "auth_username": "kros", "auth_password": password,
		"destination_country": "NG", "transport": "udp", "allowed_addresses": []string{"127.0.0.1/32"}}
}

func rule(agent string) request {
	return request{"rule_name": "test", "room_prefix": "test-", "agent_name": agent}
}

type configuration struct {
	Status string `json:"configuration_status"`
	Trunk  struct {
		Address    string `json:"address"`
		HasPass    bool   `json:"has_auth_password"`
		OutboundID string `json:"outbound_trunk_id"`
		InboundID  string `json:"inbound_trunk_id"`
	} `json:"sip_trunk"`
	Rule struct {
		ID     string `json:"dispatch_rule_id"`
		Prefix string `json:"room_prefix"`
	} `json:"dispatch_rule"`
}

func TestConfigureTwiceLeavesOneOfEach(t *testing.T) {
	t.Parallel()
	u := demo(t, shared)
	id, e164 := newNumber(t, shared)
	path := "/outbound-calls/phone-numbers/" + id
	body := request{"sip_trunk": trunk(shared.Access.Carrier, "let-me-call"), "dispatch_rule": rule("demo-agent")}
	first := must[configuration](u, "POST", path+"/configure", body)
	second := must[configuration](u, "POST", path+"/configure", body)
	if first != second || first.Status != "configured" || first.Trunk.OutboundID == "" || first.Trunk.InboundID == "" || first.Rule.ID == "" {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
	var race sync.WaitGroup
	for range 10 {
		race.Go(func() {
			if a := u.do("POST", path+"/configure", body); a.Status != 200 && a.Status != 409 {
				t.Errorf("at once: %d %s", a.Status, a.Body)
			}
		})
	}
	race.Wait()
	if got := must[configuration](u, "GET", path+"/configuration", nil); got != first {
		t.Errorf("configuration %+v, want %+v", got, first)
	}
	outbound, inbound, rules := objects(t, shared, e164)
	if outbound != 1 || inbound != 1 || rules != 1 {
		t.Errorf("%d outbound trunks, %d inbound trunks, %d rules; want one of each", outbound, inbound, rules)
	}
	callee := fresh()
	call := u.place(callee, request{"phone_number_id": id})
	u.until(call.CallID, is("in_progress"))
	if c, _ := phone(t, shared, callee); c.Caller != e164 {
		t.Errorf("caller id %s, want %s", c.Caller, e164)
	}
	u.hangUp(call.CallID)
	if a := u.do("DELETE", path+"/configuration?config_type=all", nil); a.Status != 200 {
		t.Errorf("remove: %d %s", a.Status, a.Body)
	}
	if outbound, inbound, rules = objects(t, shared, e164); outbound+inbound+rules != 0 {
		t.Errorf("left after removal: %d %d %d", outbound, inbound, rules)
	}
	if a := u.do("POST", "/outbound-calls/create", request{"phone_number": fresh(), "phone_number_id": id}); a.Status != 409 || a.problem(t).Code != "NUMBER_NOT_CONFIGURED" {
		t.Errorf("call from an unconfigured number: %d %s", a.Status, a.Body)
	}
}

func TestPasswordIsWriteOnly(t *testing.T) {
	t.Parallel()
	const canary = "canary-4f9a1c"
	u := demo(t, shared)
	id, _ := newNumber(t, shared)
	path := "/outbound-calls/phone-numbers/" + id
	for _, a := range []answer{
		u.do("POST", path+"/configure", request{"sip_trunk": trunk(shared.Access.Carrier, canary), "dispatch_rule": rule("demo-agent")}),
		u.do("GET", path+"/configuration", nil),
		u.do("GET", "/outbound-calls/phone-numbers?limit=100", nil),
	} {
		if a.Status != 200 || strings.Contains(string(a.Body), canary) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
}

func TestTrunksThatDoNotWork(t *testing.T) {
	t.Parallel()
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.LocalAddr().String()
	closed.Close()
	for _, tt := range []struct {
		name, address, password, transport string
		cause                              string
		sip                                int
	}{
		{"wrong password", shared.Access.Carrier, "wrong", "udp", "trunk_auth", 407},
		{"no password", shared.Access.Carrier, "", "udp", "trunk_auth", 407},
		{"closed UDP port", address, "let-me-call", "udp", "trunk_unreachable", 0},
		{"closed TCP port", address, "let-me-call", "tcp", "trunk_unreachable", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, callee := demo(t, shared), fresh()
			id, _ := newNumber(t, shared)
			tr := trunk(tt.address, tt.password)
			tr["transport"] = tt.transport
			if tt.password == "" {
				delete(tr, "auth_username")
				delete(tr, "auth_password")
			}
			must[configuration](u, "POST", "/outbound-calls/phone-numbers/"+id+"/configure", request{"sip_trunk": tr, "dispatch_rule": rule("demo-agent")})
			call := u.place(callee, request{"phone_number_id": id, "ringing_timeout_seconds": 5})
			d := u.until(call.CallID, details.over)
			if d.Status != "failed" || d.Cause != tt.cause || d.SIP != tt.sip || d.events() != "dialing ended" {
				t.Errorf("%s %s %d, %s", d.Status, d.Cause, d.SIP, d.events())
			}
		})
	}
}

// objects counts LiveKit's objects for a number: outbound trunks, inbound trunks, and dispatch
// rules of those inbound trunks.
func objects(t *testing.T, p *platform.Platform, e164 string) (outbound, inbound, rules int) {
	t.Helper()
	sip := lksdk.NewSIPClient(p.Access.LiveKitURL, p.Access.LiveKitKey, p.Access.LiveKitSecret)
	out, err := sip.ListSIPOutboundTrunk(t.Context(), &livekit.ListSIPOutboundTrunkRequest{Numbers: []string{e164}})
	if err != nil {
		t.Fatal(err)
	}
	in, err := sip.ListSIPInboundTrunk(t.Context(), &livekit.ListSIPInboundTrunkRequest{Numbers: []string{e164}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := sip.ListSIPDispatchRule(t.Context(), &livekit.ListSIPDispatchRuleRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all.Items {
		if len(r.TrunkIds) == 0 {
			t.Errorf("rule %s takes calls of every trunk", r.SipDispatchRuleId)
		}
		for _, trunk := range in.Items {
			if slices.Contains(r.TrunkIds, trunk.SipTrunkId) {
				rules++
			}
		}
	}
	return len(out.Items), len(in.Items), rules
}
