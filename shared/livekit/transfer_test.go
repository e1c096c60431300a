package livekit

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	lk "github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/krosai/telephony/shared/livekit/livekittest"
)

const ringing = 20 * time.Second

func transfer(ctx context.Context, c *Client, ringing time.Duration) (Transferred, error) {
	return c.Transfer(ctx, "call_1", "callee", "+14155550111", ringing)
}

// reply is a recorded answer of LiveKit.
type reply struct {
	Status int             `json:"http_status"`
	Body   json.RawMessage `json:"body"`
}

// recorded reads every answer to TransferSIPParticipant in a recording.
func recorded(t *testing.T, file string) []reply {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Timeline []struct {
			Call, Phase string
			Response    json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	var answers []reply
	for _, e := range r.Timeline {
		if e.Call != "TransferSIPParticipant" || e.Phase != "response" {
			continue
		}
		var a reply
		if err := json.Unmarshal(e.Response, &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	return answers
}

// TestRecordedTransfers checks the meaning of every recorded answer, in the order of the recording.
func TestRecordedTransfers(t *testing.T) {
	t.Parallel()
	done, unclear, unasked := (*TransferError)(nil), &TransferError{Code: TransferUnclear}, &TransferError{Code: TransferNotAsked}
	refused := func(sip int) *TransferError { return &TransferError{Code: TransferRejected, SIPStatus: sip} }
	want := map[string][]*TransferError{
		"outbound-transfer-ok-livekit-bye":             {done},
		"outbound-transfer-ok-carrier-bye":             {done},
		"outbound-transfer-refused-603":                {refused(603)},
		"outbound-transfer-notify-603":                 {refused(603)},
		"outbound-transfer-notify-486":                 {refused(486)},
		"outbound-transfer-timeout-no-notify":          {unclear},
		"outbound-transfer-notify-after-timeout":       {unclear, done},
		"outbound-transfer-concurrent-second-target":   {{Code: TransferBusy}, done},
		"outbound-transfer-unknown-and-agent-identity": {unasked, unasked, unasked, unasked},
		"outbound-transfer-while-ringing":              {done},
		"inbound-transfer-ok":                          {done},
		"inbound-transfer-ok-carrier-bye":              {done},
		"inbound-transfer-ok-long-1":                   {done},
	}
	files, err := filepath.Glob("../../local/bridge/testdata/recordings/*transfer*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	got := map[string][]*TransferError{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		for _, a := range recorded(t, file) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				body := []byte(a.Body)
				if a.Status == http.StatusOK { // an empty protobuf, as the SDK asks for
					w.Header().Set("Content-Type", "application/protobuf")
					body = nil
				}
				w.WriteHeader(a.Status)
				_, _ = w.Write(body)
			}))
			answer, err := transfer(t.Context(), Open(config(server.URL)), ringing)
			server.Close()
			e, _ := errors.AsType[*TransferError](err)
			if (err == nil) != (e == nil) || answer != (Transferred{Assumed: err == nil}) {
				t.Errorf("%s: %+v, %v", name, answer, err)
			}
			got[name] = append(got[name], e)
		}
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(TransferError{}, "Err")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestTransferErrors checks answers that were not recorded.
func TestTransferErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  error
		code string
	}{
		"our key refused":      {twirp.NewError(twirp.Unauthenticated, "invalid API key"), TransferNotAsked},
		"a quota is spent":     {twirp.NewError(twirp.ResourceExhausted, "rate limit"), TransferNotAsked},
		"the SIP service died": {twirp.NewError(twirp.Unavailable, "twirp error unknown: no response from servers"), TransferNotAsked},
		"not answered yet":     {twirp.NewError(twirp.FailedPrecondition, "twirp error unknown: can't transfer non established call"), TransferNotAsked},
		"hung up meanwhile":    {twirp.NewError(twirp.FailedPrecondition, "twirp error unknown: call has ended"), TransferNotAsked},
		"time-out, the race":   {twirp.NewError(twirp.Canceled, "twirp error unknown: request canceled"), TransferUnclear},
		"time-out":             {twirp.NewError(twirp.DeadlineExceeded, "twirp error unknown: request timed out"), TransferUnclear},
		"REFER unanswered":     {twirp.NewError(twirp.Canceled, "twirp error unknown: transaction failed to complete"), TransferUnclear},
		"REFER unsent perhaps": {twirp.NewError(twirp.FailedPrecondition, "twirp error unknown: transport<TCP> write"), TransferUnclear},
		"internal":             {twirp.NewError(twirp.Internal, "internal"), TransferUnclear},
		"busy elsewhere":       {twirp.NewError(twirp.Unavailable, "draining"), TransferUnclear},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := livekittest.New(t)
			server.Join("call_1", &lk.ParticipantInfo{Identity: "callee", Kind: lk.ParticipantInfo_SIP})
			server.Transfer = func(context.Context, *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
				return nil, tt.err
			}
			_, err := transfer(t.Context(), Open(config(server.URL)), ringing)
			e, _ := errors.AsType[*TransferError](err)
			if d := cmp.Diff(&TransferError{Code: tt.code}, e, cmpopts.IgnoreFields(TransferError{}, "Err")); d != "" {
				t.Error(d)
			}
		})
	}
}

// LiveKit SIP 1.11 gives a reason, in the answer or in the error. A reason has the same meaning in
// both, and never means success here.
func TestTransferReasons(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason int32
		sip    int32 // 0: none
		want   TransferError
	}{
		"rejected":                          {livekittest.Rejected, 486, TransferError{Code: TransferRejected, SIPStatus: 486}},
		"rejected without a status":         {livekittest.Rejected, 0, TransferError{Code: TransferRejected}},
		"call ended":                        {livekittest.CallEnded, 0, TransferError{Code: TransferCallEnded}},
		"canceled":                          {livekittest.Canceled, 0, TransferError{Code: TransferUnclear}},
		"canceled, then refused":            {livekittest.Canceled, 487, TransferError{Code: TransferRejected, SIPStatus: 487}},
		"not answered in time":              {livekittest.RingingTimeout, 0, TransferError{Code: TransferUnclear}},
		"not answered, says the carrier":    {livekittest.RingingTimeout, 408, TransferError{Code: TransferRejected, SIPStatus: 408}},
		"no more reports":                   {livekittest.SubscriptionTerminated, 0, TransferError{Code: TransferUnclear}},
		"no more reports, the last a 180":   {livekittest.SubscriptionTerminated, 180, TransferError{Code: TransferUnclear}},
		"no more reports, the last a 503":   {livekittest.SubscriptionTerminated, 503, TransferError{Code: TransferRejected, SIPStatus: 503}},
		"no reason":                         {0, 0, TransferError{Code: TransferUnclear}},
		"no reason, refused":                {0, 603, TransferError{Code: TransferRejected, SIPStatus: 603}},
		"completed, but not successful":     {livekittest.Completed, 200, TransferError{Code: TransferUnclear}},
		"a reason that is not known so far": {99, 486, TransferError{Code: TransferUnclear}},
	}
	for name, tt := range tests {
		var sip *lk.SIPStatus
		if tt.sip != 0 {
			sip = &lk.SIPStatus{Code: lk.SIPStatusCode(tt.sip)}
		}
		for how, reply := range map[string]struct {
			answer *emptypb.Empty
			err    error
		}{
			"error":   {nil, livekittest.Transfer{Reason: tt.reason, SIP: sip}.Error(twirp.FailedPrecondition, "call transfer failed")},
			"failed":  {livekittest.Transfer{Status: lk.SIPTransferStatus_STS_TRANSFER_FAILED, Reason: tt.reason, SIP: sip}.Answer(), nil},
			"ongoing": {livekittest.Transfer{Reason: tt.reason, SIP: sip}.Answer(), nil},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				server := livekittest.New(t)
				server.Join("call_1", &lk.ParticipantInfo{Identity: "callee", Kind: lk.ParticipantInfo_SIP})
				server.Transfer = func(context.Context, *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
					return reply.answer, reply.err
				}
				_, err := transfer(t.Context(), Open(config(server.URL)), ringing)
				e, _ := errors.AsType[*TransferError](err)
				if d := cmp.Diff(&tt.want, e, cmpopts.IgnoreFields(TransferError{}, "Err")); d != "" {
					t.Error(d)
				}
			})
		}
	}
}

func TestTransferRequest(t *testing.T) {
	t.Parallel()
	server := livekittest.New(t)
	server.Join("call_1", &lk.ParticipantInfo{Identity: "callee", Kind: lk.ParticipantInfo_SIP})
	var got *lk.TransferSIPParticipantRequest
	server.Transfer = func(_ context.Context, q *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
		got = q
		return livekittest.Transferred(), nil
	}
	client := Open(config(server.URL))
	if got, err := transfer(t.Context(), client, ringing); err != nil || got != (Transferred{SIPStatus: 200}) {
		t.Fatalf("%+v, %v", got, err)
	}
	have := []any{got.RoomName, got.ParticipantIdentity, got.TransferTo, got.RingingTimeout.AsDuration(), len(got.Headers), got.PlayDialtone}
	if d := cmp.Diff([]any{"call_1", "callee", "tel:+14155550111", ringing, 0, false}, have); d != "" {
		t.Error(d)
	}
	for _, to := range []string{"", "sip:eve@example.com", "tel:+14155550111", "+14155550111;isub=1", "+1415555\r\nX: y", "<+14155550111>", "eve@example.com"} {
		if _, err := client.Transfer(t.Context(), "call_1", "callee", to, ringing); err == nil || len(server.Requests()) != 1 {
			t.Errorf("to %q: %v, %d requests", to, err, len(server.Requests()))
		}
	}
}

// A transfer whose answer is lost is sent once, on LiveKit Cloud's hosts too, and is not reported
// as failed.
func TestTransferIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, fault := range []livekittest.Fault{livekittest.ErrorBefore, livekittest.ErrorAfter, livekittest.ResetBefore, livekittest.ResetAfter, livekittest.HangAfter} {
		server := livekittest.New(t)
		server.Join("call_1", &lk.ParticipantInfo{Identity: "callee", Kind: lk.ParticipantInfo_SIP})
		server.Fail("TransferSIPParticipant", fault)
		client := Open(config("http://" + strings.TrimPrefix(server.URL, "http://127.0.0.1:") + cloud))
		ctx, cancel := context.WithCancel(t.Context())
		if fault == livekittest.HangAfter { // the caller gives up after LiveKit asked the carrier
			server.Transfer = func(context.Context, *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
				cancel()
				return livekittest.Transferred(), nil
			}
		}
		_, err := transfer(ctx, client, ringing)
		cancel()
		e, ok := errors.AsType[*TransferError](err)
		if !ok || e.Code != TransferUnclear || e.SIPStatus != 0 {
			t.Errorf("fault %d: %v", fault, err)
		}
		if n := len(server.Requests()); n != 1 {
			t.Errorf("fault %d: %d requests", fault, n)
		}
	}
}

// TestTransferIsBounded: the ringing bounds a transfer that LiveKit never answers, even if the
// context has no deadline.
func TestTransferIsBounded(t *testing.T) {
	t.Parallel()
	server := livekittest.New(t)
	server.Join("call_1", &lk.ParticipantInfo{Identity: "callee", Kind: lk.ParticipantInfo_SIP})
	server.Fail("TransferSIPParticipant", livekittest.HangAfter)
	_, err := transfer(t.Context(), Open(config(server.URL)), time.Millisecond)
	if _, ok := errors.AsType[*TransferError](err); !ok {
		t.Error(err)
	}
}

func TestTransferNotSent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	_, err := transfer(t.Context(), Open(config(server.URL)), ringing)
	if e, ok := errors.AsType[*TransferError](err); !ok || e.Code != TransferNotAsked || e.SIPStatus != 0 {
		t.Errorf("%v", err)
	}
}

// An answer that is not LiveKit's proves nothing about the transfer.
func TestTransferIntermediary(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 400, 401, 403, 404, 429, 500, 502, 503, 504} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://example.com/")
			w.WriteHeader(status)
		}))
		_, err := transfer(t.Context(), Open(config(server.URL)), ringing)
		server.Close()
		if e, ok := errors.AsType[*TransferError](err); !ok || e.Code != TransferUnclear {
			t.Errorf("%d: %v", status, err)
		}
	}
}
