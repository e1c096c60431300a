package getcall_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/getcall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/store/storetest"
)

const (
	id  = "call_01KAMPJ5V0SAMPMECA00000000" // the call of the sample event
	key = "kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP"
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// newHandler returns the function's handler and its database, in which ada owns the sample key.
func newHandler(t *testing.T, scopes ...string) (*storetest.Database, http.Handler) {
	t.Helper()
	db := storetest.Open(t, nil)
	keyID, sum, _ := account.ParseKey(key)
	if err := db.PutKey(t.Context(), account.Key{ID: keyID, UserID: "ada", Hash: sum[:], Scopes: scopes}); err != nil {
		t.Fatal(err)
	}
	edge := &api.Edge{Keys: db, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	return db, edge.Handler(&getcall.Endpoint{Calls: db, Now: time.Now})
}

func create(t *testing.T, db *storetest.Database, c call.Call) {
	t.Helper()
	if err := db.Place(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

type reply struct {
	StatusCode int
	Body       string
}

// details sends the sample event for the given call.
func details(t *testing.T, h http.Handler, callID string) reply {
	t.Helper()
	return detailsWith(t, h, callID, "")
}

// detailsWith sends the sample event for the given call and query.
func detailsWith(t *testing.T, h http.Handler, callID, query string) reply {
	t.Helper()
	event := apitest.Event(t, "getcall", nil)
	out, err := lambdahttp.Handler(h).Invoke(context.Background(), bytes.ReplaceAll(bytes.ReplaceAll(event, []byte(id), []byte(callID)),
		[]byte(`"rawQueryString": ""`), []byte(`"rawQueryString": "`+query+`"`)))
	if err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnEndedCall(t *testing.T) {
	t.Parallel()
	db, h := newHandler(t, account.CallsRead)
	create(t, db, call.Call{ID: id, UserID: "ada", Direction: call.Outbound, PhoneNumber: "+14155550101", FromNumber: "+2348012345678",
		NumberID: "pn_3K31FNKK5S011QQF6GKTRG4CAC", RoomName: id, TrunkID: "ST_secret", AgentName: "support-agent", Country: "US",
		SystemPrompt: "You confirm deliveries.", WelcomeMessage: "Hello <Ada> & all.", Voice: &call.Voice{Language: "en-NG", Speed: 1.5},
		Metadata: map[string]string{"order": "A-1001"}, DTMF: "ww42#", RingingTimeout: 30, MaxDuration: 600, Status: call.Initiated,
		CreatedAt: t0.Add(123456 * time.Microsecond)})
	if _, mine, err := db.ClaimDial(t.Context(), id, "owner", t0.Add(time.Second)); err != nil || !mine {
		t.Fatalf("may dial: %t, %v", mine, err)
	}
	for i, s := range []call.Status{call.Ringing, call.InProgress} {
		if _, err := db.Advance(t.Context(), id, s, t0.Add(time.Duration(i+2)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := db.AwaitEnd(t.Context(), id, "secret-token")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: t0.Add(45 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	db.Trips()
	got := details(t, h, id)
	if n := db.Trips(); n != 2 {
		t.Errorf("%d round trips to the database, want 2", n)
	}
	want := reply{http.StatusOK, `{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","status":"completed","direction":"outbound",` +
		`"phone_number":"+14155550101","from_number":"+2348012345678","phone_number_id":"pn_3K31FNKK5S011QQF6GKTRG4CAC",` +
		`"room_name":"call_01KAMPJ5V0SAMPMECA00000000","agent_name":"support-agent","hangup_cause":"callee_hangup","sip_status_code":200,` +
		`"system_prompt":"You confirm deliveries.","welcome_message":"Hello <Ada> & all.","voice":{"language":"en-NG","speed":1.5},` +
		`"metadata":{"order":"A-1001"},"dtmf":"ww42#","ringing_timeout_seconds":30,"max_duration_seconds":600,"created_at":"2026-11-22T09:30:00.123Z","answered_at":"2026-11-22T09:30:03.000Z",` +
		`"ended_at":"2026-11-22T09:30:45.000Z","duration_seconds":42,"transfer":null,"timeline":[` +
		`{"at":"2026-11-22T09:30:01.000Z","event":"dialing"},{"at":"2026-11-22T09:30:02.000Z","event":"ringing"},` +
		`{"at":"2026-11-22T09:30:03.000Z","event":"answered"},{"at":"2026-11-22T09:30:45.000Z","event":"ended","detail":"callee_hangup"}]}` + "\n"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestShortPath checks that the path without /details gives the same answer, apart
// from the request id.
func TestShortPath(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return t0 })
	b.Serve(&getcall.Endpoint{Calls: b.DB, Now: b.Now})
	_, text := b.Key("ada", account.CallsRead)
	create(t, b.Database, call.Call{ID: id, UserID: "ada", Direction: call.Outbound, PhoneNumber: "+14155550101", RingingTimeout: 20,
		MaxDuration: 60, Status: call.Initiated, CreatedAt: t0})
	another := strings.Replace(id, "MECA", "MECB", 1)
	for _, tt := range []struct {
		path, query string
		status      int
	}{{id, "", 200}, {id, "?include_transcript=true&include_summary=true", 200}, {id, "?include=all", 400}, {another, "", 404}, {"nonsense", "", 404}} {
		long, short := b.Ask(text, "GET", "/outbound-calls/"+tt.path+"/details"+tt.query, ""), b.Ask(text, "GET", "/outbound-calls/"+tt.path+tt.query, "")
		for _, a := range []apitest.Answer{long, short} {
			delete(a.Body, "request_id")
		}
		if d := cmp.Diff(long.Body, short.Body); d != "" || short.Status != tt.status {
			t.Errorf("%s%s: %d (-details +short):\n%s", tt.path, tt.query, short.Status, d)
		}
	}
	if a := b.Ask("", "GET", "/outbound-calls/"+id, ""); a.Status != 401 {
		t.Errorf("without a credential: %d", a.Status)
	}
}

func TestANewCall(t *testing.T) {
	t.Parallel()
	db, h := newHandler(t, account.CallsRead)
	create(t, db, call.Call{ID: id, UserID: "ada", Direction: call.Outbound, PhoneNumber: "+14155550101", FromNumber: "+2348012345678",
		NumberID: "pn_1", RoomName: id, AgentName: "a", Country: "US", RingingTimeout: 5, MaxDuration: 10, Status: call.Initiated, CreatedAt: t0})
	want := reply{http.StatusOK, `{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","status":"initiated","direction":"outbound",` +
		`"phone_number":"+14155550101","from_number":"+2348012345678","phone_number_id":"pn_1","room_name":"call_01KAMPJ5V0SAMPMECA00000000",` +
		`"agent_name":"a","hangup_cause":null,"sip_status_code":null,"system_prompt":"","welcome_message":"","metadata":{},` +
		`"ringing_timeout_seconds":5,"max_duration_seconds":10,"created_at":"2026-11-22T09:30:00.000Z","answered_at":null,"ended_at":null,"duration_seconds":0,"transfer":null,"timeline":[]}` + "\n"}
	if d := cmp.Diff(want, details(t, h, id)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestAnothersCallIsNoCall checks that no user can find out which calls other users have made.
func TestAnothersCallIsNoCall(t *testing.T) {
	t.Parallel()
	db, h := newHandler(t, account.CallsRead)
	create(t, db, call.Call{ID: id, UserID: "eve", Country: "US", Status: call.Initiated, CreatedAt: t0})
	foreign := details(t, h, id)
	if n := db.Trips(); foreign.StatusCode != http.StatusNotFound || n == 0 {
		t.Fatalf("%+v", foreign)
	}
	for _, absent := range []string{"call_01KAMPJ5V0SAMPMECA00000001", "call_1", "pn_01KAMPJ5V0SAMPMECA00000000", strings.ToLower(id)} {
		if d := cmp.Diff(foreign, details(t, h, absent)); d != "" { // the sample event has a fixed request_id
			t.Errorf("%s (-foreign +absent):\n%s", absent, d)
		}
	}
}

// TestStrangersRoom checks that the name of an inbound room, which holds the caller's own text, is
// not shown if it has characters that a room's name cannot have.
func TestStrangersRoom(t *testing.T) {
	t.Parallel()
	db, h := newHandler(t, account.CallsRead)
	create(t, db, call.Call{ID: id, UserID: "ada", Direction: call.Inbound, RoomName: "h7yq2m0c-_'+alert(1)+'_x7Kd", Country: "US", Status: call.Initiated, CreatedAt: t0})
	if r := details(t, h, id); r.StatusCode != http.StatusOK || !strings.Contains(r.Body, `"room_name":"anonymous"`) {
		t.Errorf("%+v", r)
	}
}

// TestAnothersTranscriptIsNotRead checks that the transcript of another user's call is not read
// before the 404. The time of the answer would otherwise tell that the call exists.
func TestAnothersTranscriptIsNotRead(t *testing.T) {
	t.Parallel()
	db, h := newHandler(t, account.CallsRead)
	create(t, db, call.Call{ID: id, UserID: "eve", Country: "US", Status: call.Initiated, CreatedAt: t0})
	for i := range 100 {
		turn := call.Turn{ID: fmt.Sprint(i), Role: call.RoleAgent, Content: strings.Repeat("x", 7000), At: t0}
		if err := db.AddTurns(t.Context(), id, []call.Turn{turn}, t0); err != nil {
			t.Fatal(err)
		}
	}
	read := 0 // bytes
	db.Between(func(next http.RoundTripper) http.RoundTripper {
		return storetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(resp.Body)
			read += len(body)
			resp.Body = io.NopCloser(bytes.NewReader(body))
			return resp, err
		})
	})
	r := detailsWith(t, h, id, "include_transcript=true&include_summary=true")
	if r.StatusCode != http.StatusNotFound || read == 0 || read > 10<<10 {
		t.Errorf("%d bytes were read for %+v", read, r)
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	db, h := newHandler(t, account.CallsWrite)
	create(t, db, call.Call{ID: id, UserID: "ada", Country: "US", Status: call.Initiated, CreatedAt: t0})
	if r := details(t, h, id); r.StatusCode != http.StatusForbidden {
		t.Errorf("without %s: %+v", account.CallsRead, r)
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	db, h := newHandler(t, account.CallsRead)
	create(t, db, call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", MaxDuration: 600, Status: call.InProgress, CreatedAt: t0, AnsweredAt: t0})
	for _, tt := range []struct {
		status call.TransferStatus
		sip    int
		want   string
	}{
		{call.TransferFailed, 486, `"status":"failed","sip_status_code":486,"at":"2026-11-22T09:30:02.000Z"},"timeline":[`},
		{call.TransferUnknown, 0, `"status":"unknown","sip_status_code":null,"at":"2026-11-22T09:30:02.000Z"},"timeline":[`},
		{call.TransferCompleted, 200, `"status":"completed","sip_status_code":200,"at":"2026-11-22T09:30:02.000Z"},"timeline":[`},
	} {
		transfer := call.Transfer{ID: "tr_" + string(tt.status), To: "+14155550111", Status: call.TransferPending, At: t0.Add(time.Second)}
		c, err := db.Call(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Transfer(t.Context(), c, transfer); err != nil {
			t.Fatal(err)
		}
		head := `"transfer":{"transfer_id":"tr_` + string(tt.status) + `","phone_number":"+14155550111",`
		if r := details(t, h, id); !strings.Contains(r.Body, head+`"status":"pending","sip_status_code":null,"at":"2026-11-22T09:30:01.000Z"}`) {
			t.Errorf("pending: %s", r.Body)
		}
		transfer.Status, transfer.SIPStatus, transfer.At = tt.status, tt.sip, t0.Add(2*time.Second)
		if _, err := db.FinishTransfer(t.Context(), id, transfer); err != nil {
			t.Fatal(err)
		}
		line := `{"at":"2026-11-22T09:30:02.000Z","event":"transfer","detail":"` + string(tt.status) + `"}`
		if r := details(t, h, id); !strings.Contains(r.Body, head+tt.want) || !strings.Contains(r.Body, line) {
			t.Errorf("%s: %s", tt.status, r.Body)
		}
	}
}
