package livekit

import (
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/auth"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/secret"
)

const left = `{"event":"participant_left","room":{"sid":"RM_1","name":"call_1","numParticipants":1,"creationTime":"1795328600","creationTimeMs":"1795328600123"},
"participant":{"sid":"PA_1","identity":"callee","state":"DISCONNECTED","kind":"SIP","aNewField":7,
"attributes":{"sip.callID":"SCL_1","sip.callIDFull":"x","sip.callTag":"y","sip.callStatus":"hangup","sip.trunkID":"ST_1","sip.phoneNumber":"+14155550100","sip.trunkPhoneNumber":"+2348012345678"},
"disconnectReason":"CLIENT_INITIATED"},"id":"EV_1","createdAt":"1795328649"}`

// sign makes the Authorization header as LiveKit makes it.
func sign(t *testing.T, body, key, with string, life time.Duration) string {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	token, err := auth.NewAccessToken(key, with).SetValidFor(life).SetSha256(base64.StdEncoding.EncodeToString(sum[:])).ToJWT()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestReceiveWebhook(t *testing.T) {
	t.Parallel()
	c := config("http://livekit.example")
	c.OldAPIKey, c.OldAPISecret = "APIold", secret.New("the-secret-before-rotation-was-this")
	client := Open(c)
	want := Event{ID: "EV_1", Name: "participant_left", Room: "call_1", CreatedAt: time.Unix(1795328649, 0).UTC(),
		RoomID: "RM_1", RoomCreatedAt: time.UnixMilli(1795328600123).UTC(),
		Identity: "callee", ParticipantID: "PA_1", Phone: true, Status: "hangup", Answered: true,
		Leave:   call.Leave{Reason: "CLIENT_INITIATED", Status: "hangup"},
		TrunkID: "ST_1", Caller: "+14155550100", Called: "+2348012345678"}
	for name, token := range map[string]string{
		"today's key": sign(t, left, livekittest.APIKey, livekittest.APISecret, 5*time.Minute),
		"the old key": sign(t, left, "APIold", "the-secret-before-rotation-was-this", 5*time.Minute),
		"ten minutes": sign(t, left, livekittest.APIKey, livekittest.APISecret, 10*time.Minute),
	} {
		got, err := client.ReceiveWebhook([]byte(left), token)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	// A reason that LiveKit leaves out stays empty.
	got, err := client.ReceiveWebhook([]byte(`{"event":"participant_left","participant":{"sid":"PA_1"}}`),
		sign(t, `{"event":"participant_left","participant":{"sid":"PA_1"}}`, livekittest.APIKey, livekittest.APISecret, time.Minute))
	if err != nil || got.Leave != (call.Leave{}) || got.Answered || !got.RoomCreatedAt.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestForgedWebhook(t *testing.T) {
	t.Parallel()
	key, with := livekittest.APIKey, livekittest.APISecret
	good := sign(t, left, key, with, 5*time.Minute)
	claims := func(change func(jwt.MapClaims)) string {
		sum := sha256.Sum256([]byte(left))
		now := time.Now()
		m := jwt.MapClaims{"iss": key, "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			"sha256": base64.StdEncoding.EncodeToString(sum[:])}
		change(m)
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, m).SignedString([]byte(with))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	if _, err := Open(config("http://x")).ReceiveWebhook([]byte(left), claims(func(jwt.MapClaims) {})); err != nil {
		t.Fatalf("the table's own token is refused: %v", err)
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": key, "exp": time.Now().Add(time.Minute).Unix()}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	hs512, err := jwt.NewWithClaims(jwt.SigningMethodHS512, jwt.MapClaims{"iss": key, "exp": time.Now().Add(time.Minute).Unix()}).SignedString([]byte(with))
	if err != nil {
		t.Fatal(err)
	}
	join, err := auth.NewAccessToken(key, with).SetIdentity("me").SetVideoGrant(&auth.VideoGrant{RoomJoin: true, Room: "call_1"}).SetValidFor(time.Minute).ToJWT()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ body, token string }{
		"no token":             {left, ""},
		"not a token":          {left, "x.y.z"},
		"Bearer":               {left, "Bearer " + good},
		"trailing newline":     {left, good + "\n"},
		"tampered body":        {left + " ", good},
		"empty body":           {"", good},
		"wrong secret":         {left, sign(t, left, key, "another-secret-of-32-characters-or-so", time.Minute)},
		"unknown key":          {left, sign(t, left, "APIother", with, time.Minute)},
		"no old key is set":    {left, claims(func(m jwt.MapClaims) { m["iss"] = "" })},
		"no issuer":            {left, claims(func(m jwt.MapClaims) { delete(m, "iss") })},
		"a join token":         {left, join},
		"alg none":             {left, none},
		"alg HS512":            {left, hs512},
		"no exp":               {left, claims(func(m jwt.MapClaims) { delete(m, "exp") })},
		"expired":              {left, claims(func(m jwt.MapClaims) { m["exp"] = time.Now().Add(-2 * time.Minute).Unix() })},
		"valid for an hour":    {left, claims(func(m jwt.MapClaims) { m["exp"] = time.Now().Add(time.Hour).Unix() })},
		"not yet valid":        {left, claims(func(m jwt.MapClaims) { m["nbf"] = time.Now().Add(5 * time.Minute).Unix() })},
		"no hash":              {left, claims(func(m jwt.MapClaims) { delete(m, "sha256") })},
		"hash in hexadecimals": {left, claims(func(m jwt.MapClaims) { m["sha256"] = "00ff" })},
	}
	client := Open(config("http://livekit.example"))
	for name, tt := range tests {
		e, err := client.ReceiveWebhook([]byte(tt.body), tt.token)
		if !fault.Is(err, fault.Unauthenticated) || e != (Event{}) {
			t.Errorf("%s: event %+v, error %v", name, e, err)
		}
	}
	// Signed nonsense is not a forgery.
	if _, err := client.ReceiveWebhook([]byte("{"), sign(t, "{", key, with, time.Minute)); !fault.Is(err, fault.Invalid) {
		t.Errorf("signed nonsense: %v", err)
	}
	// A captured webhook is refused eleven minutes later.
	client.now = func() time.Time { return time.Now().Add(11 * time.Minute) }
	if _, err := client.ReceiveWebhook([]byte(left), good); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("replayed after eleven minutes: %v", err)
	}
}
