package getconfiguration_test

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/getconfiguration"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store/storetest"
)

func TestShow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	db, ctx := storetest.Open(t, nil), t.Context()
	edge := &api.Edge{Keys: db, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	handler := edge.Handler(&getconfiguration.Endpoint{Numbers: db})
	put := func(e164, user string, change func(*number.Number)) string {
		n := number.Number{ID: number.ID(e164), E164: e164, UserID: user, UpdatedAt: at}
		change(&n)
		if err := db.PutNumber(ctx, n); err != nil {
			t.Fatal(err)
		}
		return n.ID
	}
	bare := put("+2348012345670", "usr_a", func(*number.Number) {})
	full := put("+2348012345671", "usr_a", func(n *number.Number) {
		n.Trunk = &number.Trunk{Name: "Twilio", Address: "a.carrier.net", Numbers: []string{n.E164}, AuthUsername: "kros", HasAuthPassword: true,
			DestinationCountry: "NG", Transport: "tls", Directions: []string{"outbound"}, OutboundID: "ST_1"}
		n.Rule = &number.Rule{Name: "Line", RoomPrefix: "support-", AgentName: "agent"}
	})
	foreign := put("+2348012345672", "usr_b", func(*number.Number) {})
	const keyID = "key_01JD8Z7N5R4T3V2W1X0YABCDEF"
	key, err := account.NewKey(keyID, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, sum, _ := account.ParseKey(key)
	if err := db.PutKey(ctx, account.Key{ID: keyID, UserID: "usr_a", Hash: sum[:], Scopes: []string{account.NumbersRead}, CreatedAt: at}); err != nil {
		t.Fatal(err)
	}
	show := func(id string) (int, string) {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/outbound-calls/phone-numbers/"+id+"/configuration", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		r = r.WithContext(api.WithRequestID(r.Context(), "same"))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	for id, want := range map[string]string{
		bare: `{"phone_number_id":"` + bare + `","phone_number":"+2348012345670","configuration_status":"unconfigured","sip_trunk":null,"dispatch_rule":null,"updated_at":"2026-11-22T09:30:00.000Z"}`,
		full: `{"phone_number_id":"` + full + `","phone_number":"+2348012345671","configuration_status":"configured",` +
			`"sip_trunk":{"name":"Twilio","address":"a.carrier.net","numbers":["+2348012345671"],"auth_username":"kros","has_auth_password":true,"destination_country":"NG",` +
			`"transport":"tls","directions":["outbound"],"allowed_addresses":[],"outbound_trunk_id":"ST_1","inbound_trunk_id":null},` +
			`"dispatch_rule":{"rule_name":"Line","room_prefix":"support-","agent_name":"agent","dispatch_rule_id":null,"max_concurrent_inbound":null,"max_duration_seconds":14400},"updated_at":"2026-11-22T09:30:00.000Z"}`,
	} {
		db.Trips()
		status, raw := show(id)
		if diff := cmp.Diff(want, raw); status != 200 || diff != "" {
			t.Errorf("%d %s", status, diff)
		}
		if trips := db.Trips(); trips != 2 {
			t.Errorf("%d DynamoDB round trips", trips)
		}
	}
	_, unknown := show(number.ID("+14155550100"))
	for _, id := range []string{foreign, "pn_1", "call_01JD8Z7N5R4T3V2W1X0YABCDEF"} {
		if status, raw := show(id); status != 404 || raw != unknown {
			t.Errorf("%s: %d %s, an unknown number gets %s", id, status, raw, unknown)
		}
	}
}
