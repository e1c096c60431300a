package livekit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	lk "github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/utils/xtwirp"
	"github.com/twitchtv/twirp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/secret"
)

// cloud is the suffix of LiveKit Cloud's hosts. The SDK sends failed requests to such hosts again.
// In these tests the first label of such a host is a port of this machine.
const cloud = ".livekit.cloud"

func TestMain(m *testing.M) {
	http.DefaultTransport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if port, ok := strings.CutSuffix(addr, cloud+":80"); ok {
			addr = "127.0.0.1:" + port
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	os.Exit(m.Run())
}

func config(url string) Config {
	return Config{URL: url, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)}
}

func aDial() Dial {
	return Dial{Room: "call_1", TrunkID: "ST_1", To: "+14155550100", From: "+2348012345678",
		RingingTimeout: 30 * time.Second, MaxDuration: time.Minute, DTMF: "ww42#"}
}

// TestDialErrors checks the answers of LiveKit SIP 1.10.0 to a dial, as they were recorded, and
// some answers of other versions.
func TestDialErrors(t *testing.T) {
	t.Parallel()
	sip := func(code twirp.ErrorCode, sipStatus int32, text string) error {
		msg := fmt.Sprintf("INVITE failed: sip status: %d: %s", sipStatus, text)
		details := &lk.SIPStatus{Code: lk.SIPStatusCode(sipStatus), Status: text}
		st, err := status.New(codes.Unknown, msg).WithDetails(details)
		if err != nil {
			t.Fatal(err)
		}
		return xtwirp.WithDetailsFromStatus(twirp.NewError(code, "twirp error unknown: "+msg), st)
	}
	plain := func(code twirp.ErrorCode, msg string) error { return twirp.NewError(code, msg) }
	tests := map[string]struct {
		err  error
		want DialError
	}{
		"busy":                       {sip(twirp.ResourceExhausted, 486, "Busy Here"), DialError{Code: DialSIP, SIPStatus: 486, Certain: true}},
		"declined":                   {sip(twirp.PermissionDenied, 603, "Decline"), DialError{Code: DialSIP, SIPStatus: 603, Certain: true}},
		"no such number":             {sip(twirp.NotFound, 404, "Not Found"), DialError{Code: DialSIP, SIPStatus: 404, Certain: true}},
		"carrier failure":            {sip(twirp.FailedPrecondition, 503, "Service Unavailable"), DialError{Code: DialSIP, SIPStatus: 503, Certain: true}},
		"carrier's 408":              {sip(twirp.DeadlineExceeded, 408, "Request Timeout"), DialError{Code: DialSIP, SIPStatus: 408, Certain: true}},
		"incomplete":                 {sip(twirp.InvalidArgument, 484, "Address Incomplete"), DialError{Code: DialSIP, SIPStatus: 484, Certain: true}},
		"ringing timeout":            {plain(twirp.Canceled, "twirp error unknown: sip request timed out"), DialError{Code: DialNoAnswer, Certain: true}},
		"UDP port closed":            {plain(twirp.Canceled, "twirp error unknown: transaction failed to complete (0 intermediate responses)"), DialError{Code: DialUnreachable, Certain: true}},
		"TCP port closed":            {plain(twirp.FailedPrecondition, "twirp error unknown: transport<TCP> dial err=dial tcp :0->127.0.0.1:15999: connect: connection refused"), DialError{Code: DialUnreachable, Certain: true}},
		"wrong password":             {plain(twirp.FailedPrecondition, "twirp error unknown: max auth retry attempts reached for SIP invite"), DialError{Code: DialSIP, SIPStatus: 407, Certain: true}},
		"no credentials":             {plain(twirp.FailedPrecondition, "twirp error unknown: sip server required auth, but no username or password was provided"), DialError{Code: DialSIP, SIPStatus: 407, Certain: true}},
		"none, until 1.9":            {plain(twirp.Unknown, "twirp error unknown: server required auth, but no username or password was provided"), DialError{Code: DialSIP, SIPStatus: 407, Certain: true}},
		"unknown trunk":              {plain(twirp.NotFound, "requested sip trunk does not exist"), DialError{Code: DialNoTrunk, Certain: true}},
		"malformed":                  {plain(twirp.InvalidArgument, "missing room name"), DialError{Code: DialRefused, Certain: true}},
		"our key refused":            {plain(twirp.Unauthenticated, "invalid API key"), DialError{Code: DialRefused, Certain: true}},
		"busy, protocol 1.51":        {sip(twirp.FailedPrecondition, 486, "Busy Here"), DialError{Code: DialSIP, SIPStatus: 486, Certain: true}},
		"unavailable":                {sip(twirp.ResourceExhausted, 480, "Temporarily Unavailable"), DialError{Code: DialSIP, SIPStatus: 480, Certain: true}},
		"unavailable, protocol 1.51": {sip(twirp.FailedPrecondition, 480, "Temporarily Unavailable"), DialError{Code: DialSIP, SIPStatus: 480, Certain: true}},
		"busy everywhere":            {sip(twirp.ResourceExhausted, 600, "Busy Everywhere"), DialError{Code: DialSIP, SIPStatus: 600, Certain: true}},

		"SIP service full": {plain(twirp.Unavailable, "twirp error unknown: cpu exhausted"), DialError{Code: DialRefused, Certain: true}},
		"SIP service down": {plain(twirp.Unavailable, "twirp error unknown: no response from servers"), DialError{Code: DialRefused, Certain: true}},

		"80 s passed":      {plain(twirp.DeadlineExceeded, "twirp error unknown: request timed out"), DialError{Code: DialUnclear}},
		"internal":         {plain(twirp.Internal, "internal"), DialError{Code: DialUnclear}},
		"canceled by whom": {plain(twirp.Canceled, "context canceled"), DialError{Code: DialUnclear}},
		"unknown thing":    {plain(twirp.NotFound, "twirp error unknown: object cannot be found"), DialError{Code: DialUnclear}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := livekittest.New(t)
			server.Dial = func(*lk.CreateSIPParticipantRequest) (*lk.SIPParticipantInfo, error) { return nil, tt.err }
			_, err := Open(config(server.URL)).Dial(t.Context(), aDial())
			got, ok := errors.AsType[*DialError](err)
			if !ok {
				t.Fatalf("error %v is not a DialError", err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(DialError{}, "Err")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// The request contains the fixed identity, the caller id and both timeouts.
func TestDialRequest(t *testing.T) {
	t.Parallel()
	server := livekittest.New(t)
	var got *lk.CreateSIPParticipantRequest
	server.Dial = func(q *lk.CreateSIPParticipantRequest) (*lk.SIPParticipantInfo, error) {
		got = q
		return &lk.SIPParticipantInfo{ParticipantId: "PA_1"}, nil
	}
	client := Open(config(strings.Replace(server.URL, "http", "ws", 1)))
	id, err := client.Dial(t.Context(), aDial())
	if err != nil || id != "PA_1" {
		t.Fatalf("got %q, %v", id, err)
	}
	want := []any{"call_1", "ST_1", "+14155550100", "+2348012345678", call.CalleeIdentity, 30 * time.Second, time.Minute, true, "ww42#"}
	have := []any{got.RoomName, got.SipTrunkId, got.SipCallTo, got.SipNumber, got.ParticipantIdentity,
		got.RingingTimeout.AsDuration(), got.MaxCallDuration.AsDuration(), got.WaitUntilAnswered, got.Dtmf}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}

	for name, incomplete := range map[string]func(*Dial){
		"no caller id":           func(d *Dial) { d.From = "" },
		"no ringing time-out":    func(d *Dial) { d.RingingTimeout = 0 },
		"negative ringing":       func(d *Dial) { d.RingingTimeout = -time.Second },
		"maximum within ringing": func(d *Dial) { d.MaxDuration = d.RingingTimeout },
	} {
		before := len(server.Requests())
		d := aDial()
		incomplete(&d)
		if _, err := client.Dial(t.Context(), d); err == nil || len(server.Requests()) != before {
			t.Errorf("%s: error %v, %d requests", name, err, len(server.Requests())-before)
		}
	}
}

// A dial whose answer is lost is sent once, on LiveKit Cloud's hosts too, where
// the SDK's failover would ring the phone three times.
func TestDialIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, fault := range []livekittest.Fault{livekittest.ErrorAfter, livekittest.ResetAfter, livekittest.ResetBefore, livekittest.HangAfter} {
		server := livekittest.New(t)
		var dials atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		server.Dial = func(*lk.CreateSIPParticipantRequest) (*lk.SIPParticipantInfo, error) {
			dials.Add(1)
			if fault == livekittest.HangAfter { // the caller gives up after LiveKit has dialed
				cancel()
			}
			return &lk.SIPParticipantInfo{ParticipantId: "PA_1"}, nil
		}
		server.Fail("CreateSIPParticipant", fault)
		client := Open(config("http://" + strings.TrimPrefix(server.URL, "http://127.0.0.1:") + cloud))

		_, err := client.Dial(ctx, aDial())
		cancel()
		e, ok := errors.AsType[*DialError](err)
		if !ok || e.Certain || e.Code != DialUnclear {
			t.Errorf("fault %d: error %v", fault, err)
		}
		want := int32(1)
		if fault == livekittest.ResetBefore {
			want = 0
		}
		if got := dials.Load(); got != want || len(server.Requests()) != 1 {
			t.Errorf("fault %d: %d dials, %d requests", fault, got, len(server.Requests()))
		}
	}
}

// If nothing can have reached LiveKit, the call is certainly not up.
func TestDialNotSent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	_, err := Open(config(server.URL)).Dial(t.Context(), aDial())
	if e, ok := errors.AsType[*DialError](err); !ok || !e.Certain || e.Code != DialNotSent {
		t.Errorf("error %v", err)
	}
}

// An answer that is not LiveKit's proves nothing about the call, whatever its status.
func TestDialIntermediary(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 400, 401, 403, 404, 429, 500, 502, 503, 504} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://example.com/")
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>proxy</html>"))
		}))
		_, err := Open(config(server.URL)).Dial(t.Context(), aDial())
		server.Close()
		if e, ok := errors.AsType[*DialError](err); !ok || e.Certain {
			t.Errorf("%d: error %v", status, err)
		}
	}
}
