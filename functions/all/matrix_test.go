package all_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lk "github.com/livekit/protocol/livekit"
	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/webhook"
)

// This file is the authorization matrix: every route of the template with every caller that may not
// use it, and every id position with every kind of id that is not the caller's. Routes, scopes and
// id positions come from the template and the OpenAPI document. samples holds what a request needs
// besides. A route without a sample, or a position for which no record can be made, fails the test.

// sample is a request that its route accepts. Names in braces are id positions, in the path and in
// the body.
type sample struct {
	query, body string
	free        bool // the phone number is an unassigned one
}

var samples = map[string]sample{
	"GET /admin/audit":                  {query: "subject=req_01ARZ3NDEKTSV4RRFFQ69G5FAV"},
	"GET /admin/api-keys":               {query: "user_id=usr_owner"},
	"GET /admin/calls":                  {query: "active=true"},
	"GET /admin/calls/switch":           {},
	"GET /admin/users":                  {},
	"GET /admin/phone-number-requests":  {},
	"GET /admin/phone-numbers":          {},
	"GET /admin/user-policy":            {query: "user_id=usr_owner"},
	"PUT /admin/user-policy":            {body: `{"user_id":"usr_owner","allowed_countries":["US"],"calls_enabled":true,"max_concurrent_calls":5}`},
	"PUT /admin/calls":                  {body: `{"enabled":true}`},
	"GET /outbound-calls":               {query: "phone_number_id=pn_01ARZ3NDEKTSV4RRFFQ69G5FAV"},
	"GET /outbound-calls/stats":         {},
	"GET /outbound-calls/phone-numbers": {},
	"GET /outbound-calls/phone-numbers/{phone_number_id}/configuration":     {},
	"GET /outbound-calls/{call_id}":                                         {},
	"GET /outbound-calls/{call_id}/details":                                 {},
	"GET /outbound-calls/{call_id}/events":                                  {},
	"GET /events":                                                           {},
	"GET /telephony/phone-number-requests":                                  {},
	"GET /telephony/phone-number-requests/{request_id}":                     {},
	"POST /admin/phone-number-requests/{request_id}/approve":                {body: `{"phone_number_id":"{free_number_id}"}`},
	"POST /admin/phone-number-requests/{request_id}/reject":                 {body: `{"reason":"no"}`},
	"POST /admin/phone-numbers":                                             {body: `{"phone_number":"+2348039999999","country":"NG","number_type":"mobile","capabilities":["inbound"],"provider":"p"}`},
	"POST /admin/phone-numbers/{phone_number_id}/release":                   {},
	"POST /admin/phone-numbers/{phone_number_id}/assign":                    {body: `{"user_id":"usr_owner"}`, free: true},
	"DELETE /admin/phone-numbers/{phone_number_id}":                         {free: true},
	"POST /admin/phone-numbers/import":                                      {body: `{"numbers":[{"phone_number":"+2348039999999","country":"NG","number_type":"mobile","capabilities":["inbound"],"provider":"p"}]}`},
	"POST /admin/calls/{call_id}/hangup":                                    {},
	"DELETE /admin/api-keys/{key_id}":                                       {},
	"POST /outbound-calls/create":                                           {body: `{"phone_number":"+14155550100","phone_number_id":"{phone_number_id}","agent_name":"a"}`},
	"POST /outbound-calls/phone-numbers/{phone_number_id}/configure":        {body: `{"sip_trunk":{"name":"t","address":"a.carrier.net","allowed_addresses":["54.172.60.0/30"]}}`},
	"DELETE /outbound-calls/phone-numbers/{phone_number_id}/configuration":  {query: "config_type=all"},
	"POST /outbound-calls/{call_id}/hangup":                                 {},
	"POST /outbound-calls/{call_id}/transfer":                               {body: `{"phone_number":"+14155550111"}`},
	"POST /telephony/phone-number-requests":                                 {body: `{"country":"NG","purpose":"p"}`},
	"GET /api-keys":                                                         {},
	"POST /api-keys":                                                        {body: `{"name":"n","scopes":["calls:read"]}`},
	"POST /api-keys/{key_id}/rotate":                                        {},
	"DELETE /api-keys/{key_id}":                                             {},
	"GET /webhook-endpoints":                                                {},
	"POST /webhook-endpoints":                                               {body: `{"url":"http://127.0.0.1:8099/","events":["call.ended"]}`},
	"DELETE /webhook-endpoints/{endpoint_id}":                               {},
	"PATCH /webhook-endpoints/{endpoint_id}":                                {body: `{"paused":true}`},
	"POST /webhook-endpoints/{endpoint_id}/rotate-secret":                   {},
	"POST /webhook-endpoints/{endpoint_id}/test":                            {},
	"GET /webhook-endpoints/{endpoint_id}/deliveries":                       {},
	"POST /webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/replay": {},
}

// position makes a record that an id names.
type position struct {
	table string // of the record, for deleting it
	make  func(m *matrix, user string) string
	key   func(m *matrix, user, id string) []string // of the record; nil: the id
}

// forget deletes the record that an id of user's names.
func (p position) forget(m *matrix, user, id string) {
	key := []string{id}
	if p.key != nil {
		key = p.key(m, user, id)
	}
	m.Forget(m, p.table, key...)
}

var positions = map[string]position{
	"call_id":         {table: "calls", make: (*matrix).call},
	"phone_number_id": {table: "numbers", make: (*matrix).number},
	"free_number_id":  {table: "numbers", make: func(m *matrix, _ string) string { return m.number("") }},
	"request_id":      {table: "requests", make: (*matrix).request},
	"key_id":          {table: "keys", make: func(m *matrix, user string) string { id, _ := m.Key(user, account.CallsRead); return id }},
	"endpoint_id":     {table: "webhooks", make: (*matrix).endpoint, key: func(_ *matrix, user, id string) []string { return []string{user, "e#" + id} }},
	"delivery_id":     {table: "webhooks", make: (*matrix).delivery, key: func(m *matrix, user, id string) []string { return []string{user, "d#" + m.endpoints[user] + "#" + id} }},
}

var placeholder = regexp.MustCompile(`\{([a-z_]+)\+?\}`)

// matrix is the platform in front of one route.
type matrix struct {
	*apitest.Bench
	livekit   *livekittest.Server
	made      int
	endpoints map[string]string // the last webhook endpoint of a user, where their deliveries go
}

// owner calls the user routes, boss administers, and other is another user.
const owner, other, boss = "usr_owner", "usr_other", "usr_boss"

func newMatrix(t *testing.T, function string) *matrix {
	t.Helper()
	m := &matrix{Bench: apitest.Open(t, nil), livekit: livekittest.New(t), endpoints: map[string]string{}}
	m.Obey(roles(t, m.Template.Functions()))
	m.Function = function
	endpoint, has := all.HTTP(all.Deps{Resolver: carriertest.Zone{}, DB: m.DB, Now: time.Now, Log: slog.New(slog.DiscardHandler), Flow: m.Flow, Queue: m.Queue, AllowLoopback: true,
		LiveKit: livekit.Open(livekit.Config{URL: m.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})})[function]
	if !has {
		t.Fatalf("functions/all/all.go has no row for %s", function)
	}
	m.Serve(endpoint)
	for _, user := range []string{owner, other} {
		m.Must(m.AllowCountries(t.Context(), user, "US"))
	}
	return m
}

// number makes a number that can call. Without a user the number is unassigned.
func (m *matrix) number(user string) string {
	m.Helper()
	m.made++
	e164 := fmt.Sprintf("+23480300%05d", m.made)
	n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "local", Capabilities: []string{"inbound", "outbound"}, UserID: user}
	if user != "" {
		n.AssignedAt, n.Trunk = time.Now(), &number.Trunk{Name: "t", Transport: "auto", Numbers: []string{e164}, Directions: []string{"outbound"}, OutboundID: "ST_1"}
	}
	m.Must(m.DB.PutNumber(m.Context(), n))
	return n.ID
}

// call makes a call that is in progress.
func (m *matrix) call(user string) string {
	m.Helper()
	id := "call_" + ulid.Make().String()
	m.made++
	m.Must(m.Place(m.Context(), call.Call{ID: id, UserID: user, Direction: call.Outbound, Remote: fmt.Sprintf("+1415555%04d", m.made),
		Own: "+2348012345678", NumberID: m.number(user), RoomName: id, Country: "US", MaxDuration: 600, Status: call.InProgress,
		CreatedAt: time.Now(), AnsweredAt: time.Now()}))
	m.livekit.Join(id, &lk.ParticipantInfo{Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP, Attributes: map[string]string{"sip.callStatus": "active"}})
	return id
}

func (m *matrix) request(user string) string {
	m.Helper()
	m.made++
	id := "req_" + ulid.Make().String()
	_, _, err := m.DB.CreateRequest(m.Context(), numberrequest.Request{ID: id, UserID: user, Country: "NG", Type: fmt.Sprintf("t%d", m.made),
		Capabilities: []string{"inbound"}, Purpose: "p", CreatedAt: time.Now()})
	m.Must(err)
	return id
}

func (m *matrix) endpoint(user string) string {
	m.Helper()
	id := "whe_" + ulid.Make().String()
	m.Must(m.AddEndpoint(m.Context(), webhook.Endpoint{ID: id, UserID: user, URL: "https://hooks.acme.co/", Events: []string{event.CallEnded},
		Secret: secret.New("whsec_c2VjcmV0"), CreatedAt: time.Now()}))
	m.endpoints[user] = id
	return id
}

// delivery makes a delivery to the user's endpoint that was made last.
func (m *matrix) delivery(user string) string {
	m.Helper()
	if m.endpoints[user] == "" {
		m.endpoint(user)
	}
	d := webhook.Delivery{ID: "dlv_" + ulid.Make().String(), EndpointID: m.endpoints[user], Status: webhook.Pending, CreatedAt: time.Now(),
		Event: webhook.Event{ID: "evt_" + ulid.Make().String(), UserID: user, Type: event.CallEnded, At: time.Now()}}
	_, err := m.AddDelivery(m.Context(), d)
	m.Must(err)
	return d.ID
}

// ask sends the sample with ids in its positions. An empty credential means none. The answer's body
// comes without its request_id.
func (m *matrix) ask(r route, ids map[string]string, credential string) apitest.Answer {
	m.Helper()
	fill := func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(name string) string { return ids[strings.Trim(name, "{}")] })
	}
	target := fill(r.Path)
	if r.sample.query != "" {
		target += "?" + r.sample.query
	}
	a := m.Ask(credential, r.Method, target, fill(r.sample.body))
	delete(a.Body, "request_id")
	return a
}

// own makes the records of the route's positions, as user's, and returns their ids.
func (m *matrix) own(r route, user string) map[string]string {
	ids := map[string]string{}
	for _, name := range r.positions {
		ids[name] = r.position(name).make(m, user)
	}
	return ids
}

// route is one route, with its sample and with its scope from the OpenAPI document.
type route struct {
	template.Route
	sample    sample
	scope     string
	positions []string
}

// position returns the position with a name. It is that of an unassigned number if the route's
// sample says so.
func (r route) position(name string) position {
	if name == "phone_number_id" && r.sample.free {
		name = "free_number_id"
	}
	return positions[name]
}

// routes returns every route that needs a credential.
func routes(t *testing.T) []route {
	t.Helper()
	tpl, err := template.Open("../../template.yaml", template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		t.Fatal(err)
	}
	ops, unused := operations(t), maps.Clone(samples)
	var found []route
	for _, r := range tpl.Routes() {
		if r.Public {
			continue
		}
		s, ok := samples[r.Key()]
		if !ok {
			t.Errorf("%s: route without its cells: add it to samples", r.Key())
			continue
		}
		delete(unused, r.Key())
		op := ops[r.Key()]
		for _, name := range op.bodyIDs(t) {
			if !strings.Contains(s.body, `"`+name+`":"{`) {
				t.Errorf("%s: position without its cells: %s in the body of the sample", r.Key(), name)
			}
		}
		one := route{Route: r, sample: s, scope: op.Scope}
		for _, match := range placeholder.FindAllStringSubmatch(r.Path+s.body, -1) {
			if positions[match[1]].make == nil {
				t.Fatalf("%s: position without its cells: add %s to positions", r.Key(), match[1])
			}
			one.positions = append(one.positions, match[1])
		}
		if admin := strings.HasPrefix(r.Path, "/admin/"); admin != (one.scope == account.Admin) {
			t.Errorf("%s needs the scope %q", r.Key(), one.scope)
		}
		found = append(found, one)
	}
	for key := range unused {
		t.Errorf("%s has a sample in functions/all/matrix_test.go and no function in template.yaml", key)
	}
	return found
}

// bodyIDs returns the members of the request's body that hold ids of records. A user_id is not one
// of them, because a user without a record has the default policy.
func (op operation) bodyIDs(t *testing.T) (names []string) {
	t.Helper()
	if op.RequestBody == nil {
		return nil
	}
	ref := regexp.MustCompile(`"#/components/schemas/([A-Za-z0-9]+)"`).FindSubmatch(*op.RequestBody)
	if ref == nil {
		return nil
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(openAPI(t), &doc); err != nil {
		t.Fatal(err)
	}
	for name := range doc.Components.Schemas[string(ref[1])].Properties {
		if strings.HasSuffix(name, "_id") && name != "user_id" {
			names = append(names, name)
		}
	}
	return names
}

// kinds returns ids that are not the caller's, by kind. Each must get a 404, and all must get
// the same.
func (m *matrix) kinds(r route, name string, mine string) map[string]string {
	p := r.position(name)
	prefix, _, _ := strings.Cut(mine, "_")
	deleted := p.make(m, owner)
	p.forget(m, owner, deleted)
	names := slices.Sorted(maps.Keys(positions))
	next := names[(slices.Index(names, name)+1)%len(names)]
	for positions[next].table == p.table {
		next = names[(slices.Index(names, next)+1)%len(names)]
	}
	ids := map[string]string{
		"absent":     prefix + "_01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"malformed":  prefix + "_1",
		"lower case": strings.ToLower(mine),
		"deleted":    deleted,
		"wrong type": positions[next].make(m, owner),
		"retyped":    strings.Replace(positions[next].make(m, owner), strings.SplitAfter(next, "_")[0], prefix+"_", 1),
	}
	if r.scope != account.Admin {
		ids["other user's"] = p.make(m, other)
	}
	return ids
}

// encoded returns spellings of ids that begin with an escape. Such paths do not exist, even for ids
// of the caller's own.
func (m *matrix) encoded(name, mine string) map[string]string {
	ids := map[string]string{"own": mine, "other user's": positions[name].make(m, other), "absent": mine[:len(mine)-1] + "0"}
	for kind, id := range ids {
		ids[kind] = fmt.Sprintf("%%%02X%s", id[0], id[1:])
	}
	return ids
}

// TestForeignIDs checks that an id that is not the caller's gets the same 404 as an id that never
// existed, for every kind of id and with every credential of the caller.
func TestForeignIDs(t *testing.T) {
	t.Parallel()
	for _, r := range routes(t) {
		t.Run(strings.ReplaceAll(r.Key(), "/", "|"), func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t, r.Function)
			_, key := m.Key(owner, account.Scopes()...)
			credentials := map[string]string{"key": key, "JWT": m.User(owner)}
			if r.scope == account.Admin {
				credentials = map[string]string{"JWT": m.Admin(boss)}
			}
			if a := m.ask(r, m.own(r, owner), credentials["JWT"]); a.Status/100 != 2 {
				t.Errorf("with the owner's own ids: %d %s", a.Status, a.Text)
			}
			for _, name := range r.positions {
				mine := m.own(r, owner)
				sets := []map[string]string{m.kinds(r, name, mine[name])}
				if strings.Contains(r.Path, "{"+name+"}") {
					sets = append(sets, m.encoded(name, mine[name]))
				}
				for _, set := range sets {
					var first map[string]any
					for kind, id := range set {
						for with, credential := range credentials {
							ids := maps.Clone(mine)
							ids[name] = id
							a := m.ask(r, ids, credential)
							if a.Status != http.StatusNotFound {
								t.Errorf("%s %s with %s: %d %s", kind, name, with, a.Status, a.Text)
							}
							if first == nil {
								first = a.Body
							}
							if diff := cmp.Diff(first, a.Body); diff != "" {
								t.Errorf("%s %s with %s differs: %s", kind, name, with, diff)
							}
						}
					}
				}
			}
		})
	}
}

// TestWhoMayNot checks that no caller without a credential passes any route, that no user and no
// key passes an administrator's route, and that no key passes a route whose scope it lacks.
func TestWhoMayNot(t *testing.T) {
	t.Parallel()
	for _, r := range routes(t) {
		t.Run(strings.ReplaceAll(r.Key(), "/", "|"), func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t, r.Function)
			elsewhere, forged, yesterday := apitest.NewIssuer(t), apitest.NewIssuer(t), time.Now().Add(-24*time.Hour)
			forged.URL = m.Issuer.URL // it claims to be our issuer
			_, every := m.Key(owner, account.Scopes()...)
			_, without := m.Key(owner, slices.DeleteFunc(account.Scopes(), func(s string) bool { return s == r.scope })...)
			callers := map[string]struct {
				credential string
				want       int
			}{
				"nobody":                           {"", 401},
				"a key of the wrong checksum":      {every[:len(every)-1] + "!", 401},
				"an expired user JWT":              {m.Issuer.Token(owner, yesterday), 401},
				"a user JWT of another issuer":     {elsewhere.Token(owner, time.Now()), 401},
				"an expired admin JWT":             {m.Issuer.Token(boss, yesterday, account.Admin), 401},
				"an admin JWT of another issuer":   {elsewhere.Token(boss, time.Now(), account.Admin), 401},
				"an admin JWT that another signed": {forged.Token(boss, time.Now(), account.Admin), 401},
				"a key without the scope":          {without, 403},
			}
			if r.scope == account.Admin {
				_, bosses := m.Key(boss, account.Scopes()...)
				_, crowned := m.Key(boss, account.Admin)
				for caller, credential := range map[string]string{"a user JWT": m.User(owner), "a key of every scope": every,
					"an administrator's key": bosses, "a key with the scope admin": crowned} {
					callers[caller] = struct {
						credential string
						want       int
					}{credential, 403}
				}
			}
			ids := m.own(r, owner)
			for caller, c := range callers {
				if a := m.ask(r, ids, c.credential); a.Status != c.want || a.Code() == "" {
					t.Errorf("%s: %d %s, want %d", caller, a.Status, a.Text, c.want)
				}
			}
		})
	}
}
