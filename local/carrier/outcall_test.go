package carrier

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
)

// place places a call from one carrier to another. answer_test.go checks the called carrier's
// side separately.
func place(t *testing.T, from, to *Carrier, o CallOptions) *OutCall {
	t.Helper()
	if o.To == "" {
		o.From, o.To = "+2348000000070", "+14155550100"
	}
	call, err := from.Call(t.Context(), to.Addr(), o)
	if err != nil {
		t.Fatal(err)
	}
	return call
}

func isOver(t *testing.T, call *OutCall) CallInfo {
	t.Helper()
	select {
	case <-call.Done():
	case <-time.After(time.Minute):
		t.Fatal("the call is not over")
	}
	return call.Info()
}

func TestOutCallAnswered(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			var seen messages
			to := start(t, Options{Script: always(Script{Ring: 50 * time.Millisecond, RingFor: 50 * time.Millisecond, Status: 200, DTMF: "7"})})
			from := start(t, Options{Trace: seen.add})
			call := place(t, from, to, CallOptions{From: "+2348000000070", To: "+14155550100", Transport: transport, Script: Script{DTMF: "42"}})
			if err := call.Answered(t.Context()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "digits and voice both ways", func() bool {
				theirs := to.Calls()[0]
				return call.Info().DTMFReceived == "7" && theirs.DTMFReceived == "42" && call.RTPReceived() >= 10 && theirs.RTPReceived >= 10
			})
			if err := call.Hangup(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := call.Hangup(t.Context()); err != nil {
				t.Errorf("second hang-up: %v", err)
			}
			info, theirs := isOver(t, call), to.Calls()[0]
			if info.EndedBy != "bye-out" || info.Status != 200 || info.DTMFReceived != "7" || call.RTPReceived() < 10 {
				t.Errorf("ours: %+v", info)
			}
			if theirs.EndedBy != "bye-in" || theirs.DTMFReceived != "42" || theirs.RTPReceived < 10 ||
				theirs.Caller != "+2348000000070" || theirs.SIPCallID != info.SIPCallID {
				t.Errorf("theirs: %+v", theirs)
			}
			want := []string{">INVITE", "<100 Trying", "<180 Ringing", "<200 OK", ">ACK", ">BYE", "<200 OK"}
			if diff := cmp.Diff(want, seen.lines()); diff != "" {
				t.Error(diff)
			}
			if got := call.Provisional(); !cmp.Equal(got, []int{100, 180}) {
				t.Errorf("provisional %v", got)
			}
		})
	}
}

func TestOutCallHungUpByScript(t *testing.T) {
	t.Parallel()
	to := start(t, Options{Script: always(Script{Status: 200, Silent: true})})
	from := start(t, Options{})
	call := place(t, from, to, CallOptions{Script: Script{HangUpAfter: 100 * time.Millisecond, Silent: true}})
	if err := call.Answered(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info := isOver(t, call); info.EndedBy != "bye-out" || info.RTPReceived != 0 {
		t.Errorf("%+v", info)
	}
}

func TestOutCallHungUpByCallee(t *testing.T) {
	t.Parallel()
	to := start(t, Options{Script: always(Script{Status: 200, HangUpAfter: 100 * time.Millisecond})})
	call := place(t, start(t, Options{}), to, CallOptions{})
	if err := call.Answered(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info := isOver(t, call); info.EndedBy != "bye-in" {
		t.Errorf("%+v", info)
	}
}

func TestOutCallRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script Script
		user   string
		want   StatusError
	}{
		"busy":             {Script{NoRing: true, Status: 486}, "", StatusError{486, "Busy Here"}},
		"no credentials":   {Script{Auth: AuthAlways}, "", StatusError{407, "Proxy Authentication Required"}},
		"challenged again": {Script{Auth: AuthAlways}, "trunk", StatusError{407, "Proxy Authentication Required"}},
		"own phrase":       {Script{NoRing: true, Status: 480, Reason: "Gone fishing"}, "", StatusError{480, "Gone fishing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := start(t, Options{Script: always(c.script)})
			call := place(t, start(t, Options{}), to, CallOptions{From: "+1", To: "+2", Username: c.user, Password: "secret"})
			var refused *StatusError
			if err := call.Answered(t.Context()); !errors.As(err, &refused) || *refused != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if info := isOver(t, call); info.EndedBy != "status" || info.Status != c.want.Code {
				t.Errorf("%+v", info)
			}
		})
	}
}

func TestOutCallWithCredentials(t *testing.T) {
	t.Parallel()
	to := start(t, Options{Script: always(Script{Status: 200}), Username: "trunk", Password: "secret"})
	call := place(t, start(t, Options{}), to, CallOptions{From: "+1", To: "+2", Username: "trunk", Password: "secret"})
	if err := call.Answered(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := call.Hangup(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestOutCallCancelled(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]CallOptions{
		"by time-out": {From: "+1", To: "+2", RingTimeout: 200 * time.Millisecond},
		"by hand":     {From: "+1", To: "+2"},
		"tcp":         {From: "+1", To: "+2", Transport: "tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := start(t, Options{Script: always(Script{})})
			call := place(t, start(t, Options{}), to, o)
			if o.RingTimeout == 0 {
				if err := call.Hangup(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var refused *StatusError
			if err := call.Answered(t.Context()); !errors.As(err, &refused) || refused.Code != 487 {
				t.Errorf("got %v", err)
			}
			// The stack answers a CANCEL before the callee's side has recorded the call.
			eventually(t, "the callee's record", func() bool { return len(to.Calls()) == 1 && to.Calls()[0].State == "ended" })
			if ours, theirs := isOver(t, call), to.Calls()[0]; ours.EndedBy != "cancel" || theirs.EndedBy != "cancel" {
				t.Errorf("%+v, %+v", ours, theirs)
			}
		})
	}
}

// TestOutCallCancelMeetsAnswer checks that both sides agree that the call is over if a CANCEL and
// the answer cross, whichever comes first.
func TestOutCallCancelMeetsAnswer(t *testing.T) {
	t.Parallel()
	to := start(t, Options{Script: always(Script{RingFor: 5 * time.Millisecond, Status: 200})})
	from := start(t, Options{})
	for range 100 {
		call := place(t, from, to, CallOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		time.Sleep(5 * time.Millisecond)
		if err := call.Hangup(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		isOver(t, call)
	}
	eventually(t, "all over", func() bool {
		return !slices.ContainsFunc(to.Calls(), func(i CallInfo) bool { return i.State != "ended" })
	})
}

func TestOutCallUnreachable(t *testing.T) {
	t.Parallel()
	from := start(t, Options{})
	gone := start(t, Options{})
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Call(t.Context(), gone.Addr(), CallOptions{From: "+1", To: "+2", Transport: "tcp"}); err == nil {
		t.Error("no error from a closed TCP port")
	}
	call := place(t, from, gone, CallOptions{})
	if err := from.Close(); err != nil { // the other side never answers
		t.Error(err)
	}
	if info := isOver(t, call); info.EndedBy != "cancel" || info.Status != 408 {
		t.Errorf("%+v", info)
	}
	if _, err := from.Call(t.Context(), gone.Addr(), CallOptions{}); err == nil {
		t.Error("a closed carrier placed a call")
	}
	if _, err := from.Call(t.Context(), "nowhere", CallOptions{}); err == nil {
		t.Error("an address without port was taken")
	}
}

func TestOutCallTransferred(t *testing.T) {
	t.Parallel()
	from := start(t, Options{})
	to := start(t, Options{Script: always(Script{Status: 200})})
	call := place(t, from, to, CallOptions{Script: Script{Refer: Refer{Notify: []int{200}, NotifyAfter: time.Millisecond, Bye: true}}})
	if err := call.Answered(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The callee's side requests the transfer inside its own dialog.
	to.mu.Lock()
	theirs := to.calls[0]
	to.mu.Unlock()
	refer := to.request(&theirs.dialog, "REFER", theirs.dialog.cseq.Add(1))
	refer.AppendHeader(sip.NewHeader("Refer-To", "<tel:+15552000001>"))
	res, err := to.do(t.Context(), refer)
	if err != nil || res.StatusCode != 202 {
		t.Fatalf("%v, %v", res, err)
	}
	eventually(t, "REFER", func() bool { return len(call.Info().Refers) > 0 })
	if got := call.Info().Refers; !cmp.Equal(got, []string{"tel:+15552000001"}) {
		t.Errorf("refers %v", got)
	}
}
