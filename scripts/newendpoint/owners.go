package main

// owner is the thing that a route's id names. The generated handler reads it, because the caller
// may only use what is theirs.
type owner struct {
	Parameter, InputField, Noun, Kind string // request_id, RequestID, phone number request, Request
	Package, Type, Field              string // the package of the type, and the field of Endpoint
	ByUser, ByID                      string // the store's methods for a user and for an administrator
	Variable, Table                   string // REQUESTS_TABLE, RequestsTable
	Tag, Read, Write                  string // the tag and the scopes of its routes
	SampleID, EventID                 string // in the test, and in the sample event
	Prepare                           string // makes it in functions/all/events_test.go
	Make                              string // makes it in the function's test, as ada's
	TestPackages                      []string
}

// owners are the things with ids that a new route may name. A call has no ByUser: the handler
// compares the user itself. Only its owner may read a webhook endpoint.
var owners = map[string]owner{
	"call_id": {
		Parameter: "call_id", InputField: "CallID", Noun: "call", Kind: "Call",
		Package: "call", Type: "call.Call", Field: "Calls", ByID: "Call",
		Variable: "CALLS_TABLE", Table: "CallsTable",
		Tag: "Calls", Read: "CallsRead", Write: "CallsWrite",
		SampleID: "call_01KAMPJ5V0SAMPMECA00000000", EventID: "call_01KAMPJ5V0SAMPMECA00000000",
		Prepare: "(*stage).talk",
		Make:    `b.Must(b.Place(t.Context(), call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", Status: call.Initiated, CreatedAt: time.Now()}))`,
	},
	"request_id": {
		Parameter: "request_id", InputField: "RequestID", Noun: "phone number request", Kind: "Request",
		Package: "numberrequest", Type: "numberrequest.Request", Field: "Requests", ByUser: "Request", ByID: "RequestByID",
		Variable: "REQUESTS_TABLE", Table: "RequestsTable",
		Tag: "Phone number requests", Read: "NumbersRead", Write: "NumbersWrite",
		SampleID: "req_01KAMPJ5V0SAMP0REQ00000000", EventID: "req_01KAMPJ5V0SAMP0REQ00000000",
		Prepare: "(*stage).request",
		Make: `_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", Type: "local", Purpose: "p", CreatedAt: time.Now()})
	b.Must(err)`,
	},
	"phone_number_id": {
		Parameter: "phone_number_id", InputField: "PhoneNumberID", Noun: "phone number", Kind: "Number",
		Package: "number", Type: "number.Number", Field: "Numbers", ByUser: "Number", ByID: "NumberByID",
		Variable: "NUMBERS_TABLE", Table: "NumbersTable",
		Tag: "Phone numbers", Read: "NumbersRead", Write: "NumbersWrite",
		SampleID: "pn_3K31FNKK5S011QQF6GKTRG4CAC", EventID: "$KROS_NUMBER_ID",
		Prepare: "func(s *stage) { s.own(true) }",
		Make:    `b.Must(b.PutNumber(t.Context(), number.Number{ID: id, E164: "+2348012345678", Country: "NG", Type: "mobile", UserID: "ada", AssignedAt: time.Now()}))`,
	},
	"endpoint_id": {
		Parameter: "endpoint_id", InputField: "EndpointID", Noun: "webhook endpoint", Kind: "Endpoint",
		Package: "webhook", Type: "webhook.Endpoint", Field: "Endpoints", ByUser: "Endpoint",
		Variable: "WEBHOOKS_TABLE", Table: "WebhooksTable",
		Tag: "Webhooks", Read: "WebhooksRead", Write: "WebhooksWrite",
		SampleID: "whe_01KAMPJ5V0SAMPMEWHE0000000", EventID: "whe_01KAMPJ5V0SAMPMEWHE0000000",
		Prepare: `func(s *stage) { s.subscribe("https://hooks.acme.co/") }`,
		Make: `b.Must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: id, UserID: "ada", URL: "https://hooks.acme.co/", Events: []string{event.CallEnded},
		Secret: secret.New("whsec_c2VjcmV0"), CreatedAt: time.Now()}))`,
		TestPackages: []string{"event", "secret"},
	},
}

// area is the tag and the scopes of the routes below a first segment of the path.
type area struct{ tag, read, write string }

var areas = map[string]area{
	"outbound-calls":    {"Calls", "CallsRead", "CallsWrite"},
	"events":            {"Events", "CallsRead", "CallsWrite"},
	"telephony":         {"Phone number requests", "NumbersRead", "NumbersWrite"},
	"webhook-endpoints": {"Webhooks", "WebhooksRead", "WebhooksWrite"},
	"admin":             {"Administration", "Admin", "Admin"},
}
