package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lkproto "github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"

	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/platform"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/number"
)

// line is a number for inbound calls, and its owner, who has no other number.
type line struct {
	user
	id, e164, owner string
}

func newLine(t *testing.T, agent string) line {
	t.Helper()
	owner := fmt.Sprintf("owner-%d", last.Add(1))
	token, err := platform.Token(shared.Config, owner, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l := line{user: user{t, shared.Access.URL, token}, owner: owner, e164: fmt.Sprintf("+23482%08d", 10000000+last.Add(1))}
	l.id = number.ID(l.e164)
	err = shared.DB.PutNumber(t.Context(), number.Number{ID: l.id, E164: l.e164, Country: "NG", Type: "mobile", UserID: owner,
		Capabilities: []string{"inbound", "outbound"}, AssignedAt: time.Now(), UpdatedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	must[configuration](l.user, "POST", "/outbound-calls/phone-numbers/"+l.id+"/configure",
		request{"sip_trunk": trunk(shared.Access.Carrier, "let-me-call"), "dispatch_rule": rule(agent)})
	return l
}

// ring calls the line from a number.
func (l line) ring(from string, o carrier.CallOptions) *carrier.OutCall {
	l.t.Helper()
	o.From, o.To = from, l.e164
	phone, err := shared.Carrier.Call(l.t.Context(), shared.Access.SIP, o)
	if err != nil {
		l.t.Fatal(err)
	}
	return phone
}

// inboundFrom waits until the history shows the inbound call from a number.
func (u user) inboundFrom(from string) details {
	u.t.Helper()
	for range looks() {
		calls := must[struct{ Data []details }](u, "GET", "/outbound-calls?"+url.Values{"direction": {"inbound"}}.Encode(), nil).Data
		for _, c := range calls {
			if c.PhoneNumber == from {
				return c
			}
		}
	}
	u.t.Fatalf("no call of %s came in within %s", from, timeout)
	return details{}
}

// refusal is the SIP status that the caller got, 0 if the call was answered.
func refusal(t *testing.T, phone *carrier.OutCall) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	err := phone.Answered(ctx)
	if refused, ok := errors.AsType[*carrier.StatusError](err); ok {
		return refused.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// ended waits for the end of the call from a number, and describes it.
func (l line) ended(from string) (details, string) {
	l.t.Helper()
	d := l.until(l.inboundFrom(from).CallID, details.over)
	return d, strings.Join([]string{d.Status, d.Cause, d.events()}, " ")
}

func TestInbound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		agent   string
		options carrier.CallOptions
		act     func(l line, callID string) // when answered, or when ringing if never answered
		sip     int                         // the caller's SIP status; 0: answered
		want    string
	}{
		{"the caller hangs up", "demo-agent", carrier.CallOptions{Script: carrier.Script{HangUpAfter: 3 * time.Second}}, nil, 0,
			"completed callee_hangup ringing answered ended"},
		{"hung up through the API", "demo-agent", carrier.CallOptions{}, func(l line, id string) { l.hangUp(id) }, 0,
			"completed api_hangup ringing answered ended"},
		{"the agent hangs up", "demo-agent", carrier.CallOptions{}, line.deleteRoom, 0,
			"completed agent_hangup ringing answered ended"},
		{"the agent leaves", "demo-agent", carrier.CallOptions{}, line.removeAgent, 0,
			"completed agent_hangup ringing answered ended"},
		{"transferred", "demo-agent", carrier.CallOptions{}, func(l line, id string) { l.transfer(id, "completed") }, 0,
			"completed transferred ringing answered transfer ended"},
		{"transfer refused", "demo-agent", carrier.CallOptions{Script: carrier.Script{HangUpAfter: 12 * time.Second, Refer: carrier.Refer{Status: 603}}},
			func(l line, id string) { l.transfer(id, "failed") }, 0,
			"completed callee_hangup ringing answered transfer ended"},
		{"the caller gives up", "nobody", carrier.CallOptions{RingTimeout: 5 * time.Second}, nil, 487,
			"no_answer callee_hangup ringing ended"},
		{"hung up through the API while it rings", "nobody", carrier.CallOptions{}, func(l line, id string) { l.hangUp(id) }, 486,
			"canceled api_hangup ringing ended"},
		{"no agent", "nobody", carrier.CallOptions{}, nil, 486,
			"failed agent_unavailable ringing ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, from := newLine(t, tt.agent), fresh()
			phone := l.ring(from, tt.options)
			c := l.inboundFrom(from)
			wanted := is("in_progress")
			if tt.sip != 0 {
				wanted = is("ringing")
			}
			if tt.act != nil {
				l.until(c.CallID, wanted)
				tt.act(l, c.CallID)
			}
			if got := refusal(t, phone); got != tt.sip {
				t.Errorf("the caller got %d, want %d", got, tt.sip)
			}
			d, got := l.ended(from)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			select {
			case <-phone.Done():
			case <-time.After(timeout):
				t.Errorf("the caller's phone is %s", phone.Info().State)
			}
			l.seen(d, from)
		})
	}
}

// seen checks the owner's view of the line's only call.
func (l line) seen(d details, from string) {
	l.t.Helper()
	type view struct {
		CallID        string `json:"call_id"`
		Direction     string `json:"direction"`
		PhoneNumber   string `json:"phone_number"`
		FromNumber    string `json:"from_number"`
		PhoneNumberID string `json:"phone_number_id"`
	}
	want := []view{{d.CallID, "inbound", from, l.e164, l.id}}
	for _, path := range []string{"/outbound-calls", "/outbound-calls?direction=inbound&phone_number_id=" + l.id} {
		if diff := cmp.Diff(want, must[struct{ Data []view }](l.user, "GET", path, nil).Data); diff != "" {
			l.t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if diff := cmp.Diff(want[0], must[view](l.user, "GET", "/outbound-calls/"+d.CallID+"/details", nil)); diff != "" {
		l.t.Errorf("details (-want +got):\n%s", diff)
	}
	type stats struct {
		Total    int            `json:"total_calls"`
		ByStatus map[string]int `json:"by_status"`
		Active   int            `json:"active_calls"`
	}
	s := must[stats](l.user, "GET", "/outbound-calls/stats", nil)
	if s.Total != 1 || s.ByStatus[d.Status] != 1 || s.Active != 0 {
		l.t.Errorf("statistics %+v", s)
	}
}

func (l line) deleteRoom(id string) {
	l.t.Helper()
	if err := shared.LiveKit.DeleteRoom(l.t.Context(), l.details(id).RoomName); err != nil {
		l.t.Error(err)
	}
}

func (l line) removeAgent(id string) {
	l.t.Helper()
	a := shared.Access
	rooms, room := lksdk.NewRoomServiceClient(a.LiveKitURL, a.LiveKitKey, a.LiveKitSecret), l.details(id).RoomName
	in, err := rooms.ListParticipants(l.t.Context(), &lkproto.ListParticipantsRequest{Room: room})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, p := range in.Participants {
		if p.Kind == lkproto.ParticipantInfo_AGENT {
			if _, err := rooms.RemoveParticipant(l.t.Context(), &lkproto.RoomParticipantIdentity{Room: room, Identity: p.Identity}); err != nil {
				l.t.Error(err)
			}
		}
	}
}

func (l line) transfer(id, want string) {
	l.t.Helper()
	got := must[struct {
		Transfer struct {
			Status string `json:"status"`
		} `json:"transfer"`
	}](l.user, "POST", "/outbound-calls/"+id+"/transfer", request{"phone_number": "+2348012345678"})
	if got.Transfer.Status != want {
		l.t.Errorf("the transfer is %s, want %s", got.Transfer.Status, want)
	}
}

// TestInboundTranscript checks that the agent of an inbound call gets its transcript's URL from the
// room, and that both sides are heard.
func TestInboundTranscript(t *testing.T) {
	t.Parallel()
	l, from := newLine(t, "demo-agent"), fresh()
	phone := l.ring(from, carrier.CallOptions{Script: carrier.Script{HangUpAfter: 10 * time.Second}})
	d, _ := l.ended(from)
	if d.Status != "completed" || phone.RTPReceived() < 10 {
		t.Errorf("%s %s, the caller heard %d packets", d.Status, d.Cause, phone.RTPReceived())
	}
	var details call.Details
	for range looks() {
		var err error
		if details, err = shared.DB.CallDetails(t.Context(), l.owner, d.CallID, true); err != nil {
			t.Fatal(err)
		}
		if len(details.Turns) >= 2 {
			break
		}
	}
	if len(details.Turns) < 2 || details.Turns[0].Role != "agent" || details.Turns[1].Role != "callee" {
		t.Errorf("transcript %v", details.Turns)
	}
}

// TestInboundCallCommand checks the command behind make inbound-call, which shows the timeline.
func TestInboundCallCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, to, shown string }{
		{"the demo user's number", "", `\+2348012345678`},
		{"another user's number", newLine(t, "demo-agent").e164, `\+23482\d{8}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := platform.InboundCall(t.Context(), shared.Config, fresh(), c.to, &out); err != nil {
				t.Fatalf("%v: %s", err, &out)
			}
			shown := regexp.MustCompile(`^An inbound call, \+1415560\d{4} to ` + c.shown + ` \(call_[0-9A-Z]{26}\)\n` +
				` +\d+\.\d\d s  ringing +\n +\d+\.\d\d s  answered +\n +\d+\.\d\d s  ended +callee_hangup\n  completed, callee_hangup\n$`)
			if !shown.MatchString(out.String()) {
				t.Errorf("shown:\n%s", &out)
			}
		})
	}
	var out bytes.Buffer
	err := platform.InboundCall(t.Context(), shared.Config, fresh(), "+2348099999999", &out)
	if err == nil || !strings.Contains(err.Error(), "no call has come in: no user has the number +2348099999999") || out.Len() > 0 {
		t.Errorf("a number nobody has: %v, shown: %s", err, &out)
	}
}

// TestInboundOfOthers checks that a caller may withhold their number. A number without a
// configuration takes no calls, and attempts are not recorded.
func TestInboundOfOthers(t *testing.T) {
	t.Parallel()
	l := newLine(t, "demo-agent")
	l.ring("anonymous", carrier.CallOptions{Script: carrier.Script{HangUpAfter: time.Second}})
	if d, got := l.ended("anonymous"); got != "completed callee_hangup ringing answered ended" {
		t.Errorf("%s: %s", d.CallID, got)
	}
	removed := must[configuration](l.user, "DELETE", "/outbound-calls/phone-numbers/"+l.id+"/configuration?config_type=dispatch_rule", nil)
	phone := l.ring(fresh(), carrier.CallOptions{})
	time.Sleep(4 * time.Second) // of ringing: LiveKit gives no final answer here, not even to a CANCEL
	if state := phone.Info().State; state != "ringing" {
		t.Errorf("without a rule (%s) the caller's phone is %s", removed.Status, state)
	}
	if calls := must[struct{ Data []details }](l.user, "GET", "/outbound-calls", nil).Data; len(calls) != 1 {
		t.Errorf("%d calls, want the anonymous one", len(calls))
	}
}

// TestCalledWithoutPlus checks that a carrier may send the called number without its plus sign.
func TestCalledWithoutPlus(t *testing.T) {
	t.Parallel()
	l, from := newLine(t, "demo-agent"), fresh()
	phone, err := shared.Carrier.Call(t.Context(), shared.Access.SIP, carrier.CallOptions{From: from, To: strings.TrimPrefix(l.e164, "+"),
		Script: carrier.Script{HangUpAfter: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if got := refusal(t, phone); got != 0 {
		t.Fatalf("the caller got %d", got)
	}
	d, got := l.ended(from)
	if got != "completed callee_hangup ringing answered ended" {
		t.Error(got)
	}
	l.seen(d, from)
}

// TestManyInboundAtOnce checks that each of several simultaneous inbound calls is one record with
// its own end.
func TestManyInboundAtOnce(t *testing.T) {
	t.Parallel()
	l := newLine(t, "demo-agent")
	callers := map[string]*carrier.OutCall{}
	for range 5 {
		from := fresh()
		callers[from] = l.ring(from, carrier.CallOptions{Script: carrier.Script{HangUpAfter: 3 * time.Second}})
	}
	for from := range callers {
		if _, got := l.ended(from); got != "completed callee_hangup ringing answered ended" {
			t.Errorf("%s: %s", from, got)
		}
	}
	if calls := must[struct{ Data []details }](l.user, "GET", "/outbound-calls", nil).Data; len(calls) != len(callers) {
		t.Errorf("%d records of %d calls", len(calls), len(callers))
	}
}

// TestInboundBounds checks that a number takes as many concurrent calls as its rule allows. The
// next call is recorded, ends at once, and its phone is hung up. LiveKit limits the duration of
// the others.
func TestInboundBounds(t *testing.T) {
	t.Parallel()
	l := newLine(t, "demo-agent")
	bounded := rule("demo-agent")
	bounded["max_concurrent_inbound"], bounded["max_duration_seconds"] = 1, 14
	must[configuration](l.user, "POST", "/outbound-calls/phone-numbers/"+l.id+"/configure", request{"dispatch_rule": bounded})
	first, second := fresh(), fresh()
	l.ring(first, carrier.CallOptions{})
	l.inboundFrom(first)
	l.ring(second, carrier.CallOptions{})
	if d, got := l.ended(second); got != "failed capacity ended" {
		t.Errorf("%s: %s", d.CallID, got)
	}
	if d, _ := l.ended(first); d.Status != "completed" {
		t.Errorf("%s: %s %s", d.CallID, d.Status, d.Cause)
	}
	third := fresh()
	l.ring(third, carrier.CallOptions{Script: carrier.Script{HangUpAfter: time.Second}})
	if d, _ := l.ended(third); d.Status != "completed" {
		t.Errorf("after an end %s: %s %s", d.CallID, d.Status, d.Cause)
	}
}

// takeCallsIn calls the demo number of a platform in another process, whose webhooks have this kind
// of trouble.
func (p process) takeCallsIn(t *testing.T, dir, kind string) {
	network, err := carrier.Start(carrier.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Close() })
	u := p.user
	u.t = t
	for _, tt := range []struct {
		name   string
		script carrier.Script
		act    func(d details) error
		cause  string
	}{
		{"the caller hangs up", carrier.Script{HangUpAfter: 12 * time.Second}, nil, "callee_hangup"},
		{"the agent deletes the room", carrier.Script{}, func(d details) error { return p.livekit.DeleteRoom(t.Context(), d.RoomName) },
			map[bool]string{true: "unknown", false: "agent_hangup"}[kind == "lost"]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, from := u, fresh()
			u.t = t
			phone, err := network.Call(t.Context(), sipAddress(t, dir), carrier.CallOptions{From: from, To: "+2348012345678", Script: tt.script})
			if err != nil {
				t.Fatal(err)
			}
			if got := refusal(t, phone); got != 0 {
				t.Fatalf("the caller got %d", got)
			}
			d := u.until(u.inboundFrom(from).CallID, is("in_progress"))
			if tt.act != nil {
				if err := tt.act(d); err != nil {
					t.Fatal(err)
				}
			}
			d = u.until(d.CallID, details.over)
			if d.Status != "completed" || d.Cause != tt.cause || d.events() != "ringing answered ended" {
				t.Errorf("%s %s, %s; want completed %s", d.Status, d.Cause, d.events(), tt.cause)
			}
		})
	}
}

// sipAddress is the SIP address of a platform in another process.
func sipAddress(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if address, ok := strings.CutPrefix(lines.Text(), "KROS_SIP="); ok {
			return address
		}
	}
	t.Fatal("the platform does not say where it takes calls")
	return ""
}
