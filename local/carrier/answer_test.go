package carrier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/local/rtp"
)

func TestCalleesRefuseByNumber(t *testing.T) {
	t.Parallel()
	c := start(t, Options{})
	for number, want := range map[string][]int{
		"+14155550102": {100, 180, 486},
		"+14155550103": {100, 180, 603},
		"+14155550105": {100, 404},
		"+14155550106": {100, 503},
		"+14155550152": {100, 302},
		"+14155550157": {100, 180, 607},
		"+14155550158": {100, 608},
	} {
		t.Run(number, func(t *testing.T) {
			t.Parallel()
			d, err := newPhone(t, "udp").call(t.Context(), t, c, number, sipgo.AnswerOptions{})
			if status(err) != want[len(want)-1] || !cmp.Equal(d.codes, want) {
				t.Errorf("answers %v, error %v; want %v", d.codes, err, want)
			}
		})
	}
}

func TestCast(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]Script{
		"+14155550100": {Status: 200},
		"+14155550101": {Status: 200, HangUpAfter: 3 * time.Second},
		"+14155550104": {},
		"+14155550107": {Status: 200},
		"+14155550108": {Status: 200, Refer: Refer{Status: 603}},
		"+14155550109": {Status: 200, Refer: Refer{Notify: []int{100, 180, 486}}},
		"+14155550199": {Status: 200, HangUpAfter: 5 * time.Second},
	} {
		got := Cast(number)
		rings := got.Ring + got.RingFor
		wantRings := time.Second
		switch number {
		case "+14155550104":
			wantRings = got.Ring
		case "+14155550107":
			wantRings = got.Ring + 10*time.Second
		}
		if rings != wantRings || got.Ring < 100*time.Millisecond || got.Ring > 200*time.Millisecond {
			t.Errorf("%s rings after %v for %v", number, got.Ring, got.RingFor)
		}
		got.Ring, got.RingFor = 0, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", number, diff)
		}
	}
}

// TestAnsweredCall answers one call, hung up by either side, over both transports. It compares the
// order of the messages and the result of Calls.
func TestAnsweredCall(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		for by, want := range map[string][]string{
			"bye-in":  {"<INVITE", ">100 Trying", ">180 Ringing", ">200 OK", "<ACK", "<BYE", ">200 OK"},
			"bye-out": {"<INVITE", ">100 Trying", ">180 Ringing", ">200 OK", "<ACK", ">BYE", "<200 OK"},
		} {
			t.Run(transport+" "+by, func(t *testing.T) {
				t.Parallel()
				var seen messages
				script := Script{Ring: 50 * time.Millisecond, RingFor: 50 * time.Millisecond, Status: 200}
				if by == "bye-out" {
					script.HangUpAfter = 300 * time.Millisecond
				}
				c := start(t, Options{Script: always(script), Trace: seen.add})
				d, err := newPhone(t, transport).call(t.Context(), t, c, "+14155550100", sipgo.AnswerOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if by == "bye-in" {
					eventually(t, "conversation", func() bool { return c.Calls()[0].State == "talking" })
					time.Sleep(300 * time.Millisecond)
					if err := d.Bye(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				eventually(t, "end", func() bool { return len(seen.lines()) == len(want) })
				if diff := cmp.Diff(want, seen.lines()); diff != "" {
					t.Error(diff)
				}
				call := c.Calls()[0]
				if call.State != "ended" || call.EndedBy != by || call.Status != 200 || call.Callee != "+14155550100" ||
					call.Answered.Before(call.Started) || call.Ended.Sub(call.Answered) < 250*time.Millisecond {
					t.Errorf("%+v", call)
				}
				d.media.Close()
			})
		}
	}
}

// TestEarlyMedia checks that the caller hears the callee before the answer, with or without an
// additional 180.
func TestEarlyMedia(t *testing.T) {
	t.Parallel()
	for number, want := range map[string][]int{"+14155550150": {100, 183, 200}, "+14155550151": {100, 183, 180, 200}} {
		t.Run(number, func(t *testing.T) {
			t.Parallel()
			c := start(t, Options{})
			early := 0 // the callee's audio port before the answer
			d, err := newPhone(t, "udp").call(t.Context(), t, c, number, sipgo.AnswerOptions{OnResponse: func(res *sip.Response) error {
				if res.StatusCode == 183 {
					remote, err := rtp.ParseSDP(res.Body())
					early = int(remote.Port())
					if err != nil {
						t.Errorf("%v: %s", err, res.Body())
					}
				}
				return nil
			}})
			if err != nil || !cmp.Equal(d.codes, want) {
				t.Fatalf("answers %v, error %v; want %v", d.codes, err, want)
			}
			if remote, err := rtp.ParseSDP(d.InviteResponse.Body()); err != nil || int(remote.Port()) != early {
				t.Errorf("the audio was begun anew with the answer: %v, %v", remote, err)
			}
			eventually(t, "audio", func() bool { d.media.Read(func([]byte) { d.media.Close() }, nil); return d.media.Packets() > 0 })
		})
	}
}

// TestDigitsByInfo checks that each digit is sent in its own INFO.
func TestDigitsByInfo(t *testing.T) {
	t.Parallel()
	var seen messages
	c := start(t, Options{Trace: seen.add})
	if _, err := newPhone(t, "udp").call(t.Context(), t, c, "+14155550155", sipgo.AnswerOptions{}); err != nil {
		t.Fatal(err)
	}
	sent := func() (digits string) {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		for _, m := range seen.all {
			if _, after, ok := strings.Cut(m.Text, "Signal="); ok && !m.In && strings.HasPrefix(m.StartLine, "INFO ") && !strings.HasSuffix(digits, after[:1]) {
				digits += after[:1]
			}
		}
		return digits
	}
	eventually(t, "digits", func() bool { return sent() == "42#" })
}

// TestMuteRefer checks that an unanswered REFER is recorded once and that the call continues.
func TestMuteRefer(t *testing.T) {
	t.Parallel()
	c := start(t, Options{})
	w := newWire(t, c)
	tag := w.answered("+14155550153")
	for range 2 {
		w.request("REFER", "refer", tag, nil, "Refer-To: <tel:+14155550111>")
	}
	w.request("OPTIONS", "after", tag, nil)
	w.response(200) // no message came before it
	eventually(t, "REFER", func() bool { return len(c.Calls()[0].Refers) > 0 })
	if call := c.Calls()[0]; len(call.Refers) != 1 || call.State != "talking" {
		t.Errorf("%+v", call)
	}
}

// TestSessionExpires checks that the carrier hangs up if a session is not refreshed. A re-INVITE or
// an UPDATE refreshes it (RFC 4028).
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 14 s: not with -short")
	}
	c := start(t, Options{Script: always(Script{Status: 200, Expires: 10 * time.Second})})
	w := newWire(t, c)
	tag := w.answered("+14155550156")
	began := time.Now()
	for i, method := range []string{"UPDATE", "INVITE"} {
		time.Sleep(time.Second)
		w.request(method, fmt.Sprint("refresh", i), tag, rtp.Offer("127.0.0.1", w.media.Port()), "Content-Type: application/sdp")
		if res := w.response(200); res.GetHeader("Session-Expires") == nil || res.GetHeader("Session-Expires").Value() != "10;refresher=uac" {
			t.Errorf("%s: %v", method, res)
		}
		w.request("ACK", fmt.Sprint("ack", i), tag, nil)
	}
	eventually(t, "end", func() bool { return c.Calls()[0].State == "ended" })
	if call := c.Calls()[0]; call.EndedBy != "bye-out" || call.Ended.Sub(began) < 12*time.Second {
		t.Errorf("%+v", call)
	}
}

func TestMediaBothWays(t *testing.T) {
	t.Parallel()
	c := start(t, Options{Script: always(Script{Status: 200, DTMF: "12#"})})
	d, err := newPhone(t, "udp").call(t.Context(), t, c, "+14155550100", sipgo.AnswerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var digits []byte
	loud := 0
	var reading sync.WaitGroup
	reading.Go(func() {
		d.media.Read(func(p []byte) {
			if slices.ContainsFunc(p, func(b byte) bool { return b != rtp.Silence }) {
				mu.Lock()
				defer mu.Unlock()
				loud++
			}
		}, func(b byte) {
			mu.Lock()
			defer mu.Unlock()
			digits = append(digits, b)
		})
	})
	for range 10 {
		d.media.WriteAudio(make([]byte, 160))
		time.Sleep(20 * time.Millisecond)
	}
	if err := d.media.WriteDTMF(t.Context(), "9*"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "digits and voice both ways", func() bool {
		mu.Lock()
		defer mu.Unlock()
		call := c.Calls()[0]
		return len(digits) >= 3 && loud >= 10 && call.RTPReceived >= 20 && call.DTMFReceived == "9*"
	})
	call := c.Calls()[0]
	if err := d.Bye(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.media.Close()
	reading.Wait()
	if string(digits) != "12#" || loud < 10 {
		t.Errorf("heard digits %q and %d packets of voice", digits, loud)
	}
	if call.DTMFReceived != "9*" || call.RTPReceived < 20 || call.VoiceReceived != 10 || call.State != "talking" {
		t.Errorf("%+v", call)
	}
}

func TestSilentCallee(t *testing.T) {
	t.Parallel()
	c := start(t, Options{Script: always(Script{Status: 200, Silent: true})})
	d, err := newPhone(t, "udp").call(t.Context(), t, c, "+14155550100", sipgo.AnswerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go d.media.Read(nil, nil)
	time.Sleep(200 * time.Millisecond)
	if n := d.media.Packets(); n != 0 {
		t.Errorf("%d packets", n)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			var seen messages
			c := start(t, Options{Script: always(Script{Ring: 20 * time.Millisecond}), Trace: seen.add})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := sipgo.AnswerOptions{OnResponse: func(res *sip.Response) error {
				if res.StatusCode == 180 {
					cancel()
				}
				return nil
			}}
			if _, err := newPhone(t, transport).call(ctx, t, c, "+14155550104", o); err == nil {
				t.Fatal("answered")
			}
			want := []string{"<INVITE", ">100 Trying", ">180 Ringing", "<CANCEL", "487", "200", "<ACK"}
			eventually(t, "ACK", func() bool { return len(seen.lines()) == len(want) })
			got := seen.lines()
			if !cmp.Equal(got[:4], want[:4]) || !slices.Contains(got, ">487 Request Terminated") ||
				!slices.Contains(got, ">200 OK") || !slices.Contains(got, "<ACK") {
				t.Errorf("got %v", got)
			}
			if call := c.Calls()[0]; call.EndedBy != "cancel" || call.Status != 487 || !call.Answered.IsZero() {
				t.Errorf("%+v", call)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script   Script
		password string
		want     []int
	}{
		"right":             {Script{Status: 200}, "secret", []int{407, 200}},
		"wrong":             {Script{Status: 200}, "guess", []int{407, 407, 407}},
		"none":              {Script{Status: 200}, "", []int{407}},
		"wrong, forbidden":  {Script{Status: 200, Auth: AuthForbidden}, "guess", []int{407, 403}},
		"right, forbidden":  {Script{Status: 200, Auth: AuthForbidden}, "secret", []int{407, 200}},
		"right, not enough": {Script{Status: 200, Auth: AuthAlways}, "secret", []int{407, 407, 407}},
		"not asked for":     {Script{Status: 200, Auth: AuthNone}, "", []int{200}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			carrier := start(t, Options{Username: "trunk", Password: "secret", Script: always(c.script)})
			// The SIP library would answer challenges forever.
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var got []int
			_, err := newPhone(t, "udp").call(ctx, t, carrier, "+14155550100", sipgo.AnswerOptions{
				Username: "trunk", Password: c.password,
				OnResponse: func(res *sip.Response) error {
					if !res.IsProvisional() {
						got = append(got, res.StatusCode)
					}
					if len(got) == 3 {
						return errors.New("enough")
					}
					return nil
				},
			})
			if !cmp.Equal(got, c.want) {
				t.Errorf("answers %v (%v), want %v", got, err, c.want)
			}
			calls := carrier.Calls()
			if len(calls) != 1 || calls[0].Status != c.want[len(c.want)-1] {
				t.Errorf("calls %+v", calls)
			}
		})
	}
}

// TestCredentialsAreNotReplayed checks that a nonce is valid for one request. The carrier
// challenges the same credentials again.
func TestCredentialsAreNotReplayed(t *testing.T) {
	t.Parallel()
	c := start(t, Options{Username: "trunk", Password: "secret"})
	req := sip.NewRequest(sip.INVITE, uri("+14155550100", "127.0.0.1", 5060))
	nonce := c.challenges.issue(time.Now())
	res := sip.NewResponse(407, "")
	res.AppendHeader(sip.NewHeader("Proxy-Authenticate", c.challenge(nonce).String()))
	if !answerChallenge(req, res, "trunk", "secret") {
		t.Fatal("no credentials")
	}
	if got := []int{c.authorize(req, AuthDefault), c.authorize(req, AuthDefault)}; !cmp.Equal(got, []int{0, 407}) {
		t.Errorf("got %v", got)
	}
	if n := &c.challenges; n.use("made up", 1, time.Now()) || n.use(nonce, 2, time.Now().Add(2*nonceLife)) {
		t.Error("a made-up or an old nonce was accepted")
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refer  Refer
		answer int
		notify []string
		byeOut bool
	}{
		"succeeds":        {Refer{}, 202, []string{"100 Trying", "200 OK"}, false},
		"carrier bye":     {Refer{Bye: true}, 202, []string{"100 Trying", "200 OK"}, true},
		"refused":         {Refer{Status: 603}, 603, nil, false},
		"target busy":     {Cast("+14155550109").Refer, 202, []string{"100 Trying", "180 Ringing", "486 Busy Here"}, false},
		"busy, no bye":    {Refer{Notify: []int{486}, Bye: true}, 202, []string{"486 Busy Here"}, false},
		"never reported":  {Refer{Notify: []int{}}, 202, nil, false},
		"reported later":  {Refer{Notify: []int{200}, NotifyAfter: 800 * time.Millisecond}, 202, []string{"200 OK"}, false},
		"accepted as 200": {Refer{Status: 200}, 200, []string{"100 Trying", "200 OK"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			carrier := start(t, Options{Script: always(Script{Status: 200, Refer: c.refer})})
			p := newPhone(t, "udp")
			d, err := p.call(t.Context(), t, carrier, "+14155550100", sipgo.AnswerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			refer := sip.NewRequest(sip.REFER, d.InviteResponse.Contact().Address)
			refer.AppendHeader(sip.NewHeader("Refer-To", "<tel:+15552000001>"))
			began := time.Now()
			res, err := d.Do(t.Context(), refer)
			if err != nil || res.StatusCode != c.answer {
				t.Fatalf("%v, %v", res, err)
			}
			for _, want := range c.notify {
				select {
				case got := <-p.notify:
					if got != "SIP/2.0 "+want {
						t.Errorf("reported %q, want %q", got, want)
					}
				case <-time.After(time.Minute):
					t.Fatalf("%s was not reported", want)
				}
			}
			if took := time.Since(began); took < c.refer.NotifyAfter {
				t.Errorf("reported after %v", took)
			}
			if c.byeOut {
				eventually(t, "BYE", func() bool { return carrier.Calls()[0].EndedBy == "bye-out" })
			} else {
				time.Sleep(300 * time.Millisecond)
			}
			call := carrier.Calls()[0]
			if (call.State == "ended") != c.byeOut || len(p.notify) != 0 ||
				!cmp.Equal(call.Refers, []string{"tel:+15552000001"}) {
				t.Errorf("%d reports too many; %+v", len(p.notify), call)
			}
		})
	}
}

// TestAnswerIsRepeatedUntilAcknowledged checks that without an ACK the carrier repeats the 200
// after T1, and that a repeated INVITE is the same call (RFC 3261 section 13.3.1.4).
func TestAnswerIsRepeatedUntilAcknowledged(t *testing.T) {
	t.Parallel()
	const before = 2 * time.Second // long enough for the INVITE to be repeated before the answer
	c := start(t, Options{Script: always(Script{NoRing: true, RingFor: before, Status: 200, Silent: true})})
	w := newWire(t, c)
	began := time.Now()
	offer := rtp.Offer("127.0.0.1", w.media.Port())
	w.request("INVITE", "1", "", offer, "Content-Type: application/sdp")
	w.response(100)
	w.request("INVITE", "1", "", offer, "Content-Type: application/sdp")
	w.response(100)
	first := w.response(200)
	second := w.response(200)
	if took := time.Since(began); took < before+500*time.Millisecond { // RFC 3261 section 17.1.1.1: T1
		t.Errorf("answered and repeated within %v", took)
	}
	tag, _ := first.To().Params.Get("tag")
	if again, _ := second.To().Params.Get("tag"); tag == "" || tag != again {
		t.Errorf("tags %q and %q", tag, again)
	}
	w.request("ACK", "2", tag, nil)
	for range 2 {
		w.request("BYE", "3", tag, nil)
		for w.response(200).CSeq().MethodName != sip.BYE { // a third answer came before the ACK
		}
	}
	if calls := c.Calls(); len(calls) != 1 || calls[0].EndedBy != "bye-in" {
		t.Errorf("%+v", calls)
	}
}

func TestRefusalIsRepeatedUntilAcknowledged(t *testing.T) {
	t.Parallel()
	c := start(t, Options{Script: always(Script{NoRing: true, Status: 486, Reason: "Engaged"})})
	w := newWire(t, c)
	w.request("INVITE", "1", "", rtp.Offer("127.0.0.1", w.media.Port()), "Content-Type: application/sdp")
	w.response(100)
	w.response(486)
	res := w.response(486)
	if res.Reason != "Engaged" {
		t.Errorf("reason %q", res.Reason)
	}
	tag, _ := res.To().Params.Get("tag")
	w.request("ACK", "1", tag, nil)
}

func TestByeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	c := start(t, Options{Script: always(Script{})})
	w := newWire(t, c)
	w.request("INVITE", "1", "", rtp.Offer("127.0.0.1", w.media.Port()), "Content-Type: application/sdp")
	w.response(100)
	tag, _ := w.response(180).To().Params.Get("tag")
	w.request("BYE", "2", tag, nil)
	codes := []int{w.next().(*sip.Response).StatusCode, w.next().(*sip.Response).StatusCode}
	slices.Sort(codes)
	if !cmp.Equal(codes, []int{200, 487}) {
		t.Errorf("got %v", codes)
	}
	w.request("ACK", "1", tag, nil)
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	c := start(t, Options{})
	for name, r := range map[string]struct {
		method, tag string
		body        []byte
		want        int
	}{
		"OPTIONS":              {"OPTIONS", "", nil, 200},
		"REGISTER":             {"REGISTER", "", nil, 405},
		"INFO":                 {"INFO", "", nil, 405},
		"unknown":              {"DANCE", "", nil, 501},
		"BYE of no call":       {"BYE", "none", nil, 481},
		"REFER of no call":     {"REFER", "none", nil, 481},
		"CANCEL of no call":    {"CANCEL", "", nil, 481},
		"re-INVITE of no call": {"INVITE", "none", rtp.Offer("127.0.0.1", 4000), 481},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, c)
			w.request(r.method, "1", r.tag, r.body)
			res := w.response(r.want)
			if (r.want == 405 || r.want == 200) && res.GetHeader("Allow") == nil {
				t.Error("no Allow")
			}
			if r.method == "INVITE" {
				w.request("ACK", "1", r.tag, nil)
			}
		})
	}
	t.Run("no SDP", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, c)
		w.request("INVITE", "1", "", nil)
		w.response(100)
		tag, _ := w.response(488).To().Params.Get("tag")
		w.request("ACK", "1", tag, nil)
	})
	t.Run("malformed", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, c)
		for _, text := range []string{"", "\r\n\r\n", "INVITE sip:x SIP/2.0\r\n\r\n",
			"INVITE sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP " + w.conn.LocalAddr().String() + ";branch=z9hG4bKm\r\nCSeq: 1 INVITE\r\n\r\n"} {
			if _, err := w.conn.WriteToUDPAddrPort([]byte(text), w.carrier); err != nil {
				t.Fatal(err)
			}
		}
		w.request("OPTIONS", "2", "", nil)
		for {
			if res := w.next().(*sip.Response); res.StatusCode == 200 {
				return
			}
		}
	})
}

// TestReinvite checks that a re-INVITE is refused and leaves the call unchanged.
func TestReinvite(t *testing.T) {
	t.Parallel()
	c := start(t, Options{Script: always(Script{Status: 200})})
	d, err := newPhone(t, "udp").call(t.Context(), t, c, "+14155550100", sipgo.AnswerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again := sip.NewRequest(sip.INVITE, d.InviteResponse.Contact().Address)
	again.SetBody(rtp.Offer("127.0.0.1", d.media.Port()))
	res, err := d.Do(t.Context(), again)
	if err != nil || res.StatusCode != 488 {
		t.Fatalf("%v, %v", res, err)
	}
	if calls := c.Calls(); len(calls) != 1 || calls[0].State != "talking" {
		t.Errorf("%+v", calls)
	}
}

// TestManyCallsInARow places 200 calls one after the other. No call may hang on a lost or
// early ACK.
func TestManyCallsInARow(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			var seen messages
			c := start(t, Options{Script: always(Script{Status: 200}), Trace: seen.add})
			p := newPhone(t, transport)
			const n = 200
			began := time.Now()
			for i := range n {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				d, err := p.call(ctx, t, c, fmt.Sprintf("+1415555%04d", i), sipgo.AnswerOptions{})
				if err == nil {
					err = d.Bye(ctx)
				}
				cancel()
				d.media.Close()
				if err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			t.Logf("%d calls in %v", n, time.Since(began))
			answers := 0
			seen.mu.Lock()
			for _, m := range seen.all {
				if !m.In && strings.HasPrefix(m.StartLine, "SIP/2.0 200 ") {
					answers++
				}
			}
			seen.mu.Unlock()
			if answers > 2*n+n/2 { // to INVITE and to BYE; a busy machine repeats some
				t.Errorf("%d answers to %d calls", answers, n)
			}
			for i, call := range c.Calls() {
				if call.EndedBy != "bye-in" {
					t.Errorf("call %d: %+v", i, call)
				}
			}
		})
	}
}

// TestManyCallsAtOnce runs fifty calls at once, each with audio in both directions for a second.
func TestManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	c := start(t, Options{Script: always(Script{Ring: 10 * time.Millisecond, RingFor: 50 * time.Millisecond, Status: 200})})
	p := newPhone(t, "udp")
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			d, err := p.call(t.Context(), t, c, fmt.Sprintf("+1415556%04d", i), sipgo.AnswerOptions{})
			if err != nil {
				t.Errorf("call %d: %v", i, err)
				return
			}
			var reading sync.WaitGroup
			reading.Go(func() { d.media.Read(nil, nil) })
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for range 50 {
				<-tick.C
				d.media.WriteAudio(make([]byte, 160))
			}
			eventually(t, fmt.Sprintf("voice in call %d", i), func() bool { return d.media.Packets() >= 25 })
			if err := d.Bye(t.Context()); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
			d.media.Close()
			reading.Wait()
		})
	}
	calls.Wait()
	for _, call := range c.Calls() {
		if call.RTPReceived < 25 || call.EndedBy != "bye-in" {
			t.Errorf("%+v", call)
		}
	}
}

// TestCloseEndsCalls checks that Close answers ringing calls, hangs up talking ones and leaves no
// goroutine behind (goleak checks).
func TestCloseEndsCalls(t *testing.T) {
	t.Parallel()
	var seen messages
	c, err := Start(Options{Trace: seen.add, Script: func(number string) Script {
		if number == "+14155550104" {
			return Script{}
		}
		return Script{Status: 200}
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := newPhone(t, "udp")
	var ringing sync.WaitGroup
	ringing.Go(func() {
		if _, err := p.call(t.Context(), t, c, "+14155550104", sipgo.AnswerOptions{}); status(err) != 503 {
			t.Errorf("the ringing call: %v", err)
		}
	})
	if _, err := p.call(t.Context(), t, c, "+14155550100", sipgo.AnswerOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ringing", func() bool {
		return slices.ContainsFunc(c.Calls(), func(i CallInfo) bool { return i.State == "ringing" })
	})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	ringing.Wait()
	if !slices.Contains(seen.lines(), ">BYE") {
		t.Errorf("no BYE: %v", seen.lines())
	}
	for _, call := range c.Calls() {
		if call.State != "ended" {
			t.Errorf("%+v", call)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestMessageSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"":                                   0,
		"BYE sip:a SIP/2.0\r\n":              0,
		"BYE sip:a SIP/2.0\r\n\r\n":          21,
		"A\r\nContent-Length: 3\r\n\r\nab":   0,
		"A\r\nContent-Length: 3\r\n\r\nabcd": 27,
		"A\r\nl:2\r\n\r\nab":                 12,
		"A\r\nContent-Length: x\r\n\r\nab":   24,
	} {
		if got := messageSize([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
