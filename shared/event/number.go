package event

import (
	"time"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
)

// RequestData is a number request as the API shows it.
type RequestData struct {
	RequestID     string               `json:"request_id"`
	Status        numberrequest.Status `json:"status" enum:"pending,approved,assigned,rejected"`
	Country       string               `json:"country"`
	NumberType    string               `json:"number_type" enum:"local,mobile,toll_free"`
	AreaCode      *string              `json:"area_code"`
	PhoneNumber   *string              `json:"phone_number"`
	Capabilities  []string             `json:"capabilities" enum:"inbound,outbound"`
	Purpose       string               `json:"purpose"`
	Reason        *string              `json:"reason"`
	PhoneNumberID *string              `json:"phone_number_id"`
	CreatedAt     Time                 `json:"created_at" format:"date-time"`
	UpdatedAt     Time                 `json:"updated_at" format:"date-time"`
}

func ofRequest(r numberrequest.Request, kind string, at time.Time) Event {
	return of(r.UserID, kind, r.ID, at, RequestData{RequestID: r.ID, Status: r.Status, Country: r.Country, NumberType: r.Type,
		AreaCode: orNull(r.AreaCode), PhoneNumber: orNull(r.PhoneNumber), Capabilities: r.Capabilities, Purpose: r.Purpose,
		Reason: orNull(r.Reason), PhoneNumberID: orNull(r.NumberID), CreatedAt: Time(r.CreatedAt), UpdatedAt: Time(r.UpdatedAt)})
}

// Decided is the event of a number request that was approved or rejected.
func Decided(r numberrequest.Request) Event { return ofRequest(r, RequestDecided, r.DecidedAt) }

// Assigned is the event of a number request that was assigned its number.
func Assigned(r numberrequest.Request) Event { return ofRequest(r, RequestAssigned, r.UpdatedAt) }

// NumberData is the data of an event about a number.
type NumberData struct {
	NumberID    string        `json:"phone_number_id"`
	PhoneNumber string        `json:"phone_number"`
	Status      number.Status `json:"configuration_status" enum:"unconfigured,partial,configured,error"`
}

// Given is the event of a number that an administrator assigned to n.UserID at n.UpdatedAt, without
// a request.
func Given(n number.Number) Event {
	return of(n.UserID, NumberAssigned, n.ID, n.UpdatedAt, NumberData{n.ID, n.E164, n.Configuration()})
}

// Configured is the event of a number whose configuration changed at n.UpdatedAt.
func Configured(n number.Number) Event {
	return of(n.UserID, NumberConfigured, n.ID, n.UpdatedAt, NumberData{n.ID, n.E164, n.Configuration()})
}

// Released is the event of a number that owner no longer has since n.UpdatedAt.
func Released(n number.Number, owner string) Event {
	return of(owner, NumberReleased, n.ID, n.UpdatedAt, NumberData{n.ID, n.E164, number.Unconfigured})
}

// KeyData is the data of an event about an API key.
type KeyData struct {
	KeyID    string   `json:"key_id"`
	Name     string   `json:"name"`
	LastFour string   `json:"last_four"`
	Scopes   []string `json:"scopes" enum:"numbers:read,numbers:write,calls:read,calls:write,webhooks:read,webhooks:write,keys:write"`
}

func keyOf(k account.Key) KeyData { return KeyData{k.ID, k.Name, k.LastFour, k.Scopes} }

// KeyMade is the event of a new API key.
func KeyMade(k account.Key) Event { return of(k.UserID, KeyCreated, k.ID, k.CreatedAt, keyOf(k)) }

// KeyEnded is the event of an API key that was revoked at a moment.
func KeyEnded(k account.Key, at time.Time) Event { return of(k.UserID, KeyRevoked, k.ID, at, keyOf(k)) }

// EndpointData is the data of an event about a webhook endpoint.
type EndpointData struct {
	EndpointID string `json:"endpoint_id"`
	URL        string `json:"url"`
	Reason     string `json:"reason" enum:"failures"`
}

// Disabled is the event of a webhook endpoint that was disabled because it failed too often.
func Disabled(userID, endpointID, url string, at time.Time) Event {
	return of(userID, EndpointDisabled, endpointID, at, EndpointData{endpointID, url, "failures"})
}

// TestData is the data of a test.
type TestData struct {
	EndpointID string `json:"endpoint_id"`
}

// Test is the event of a test of an endpoint, one for each delivery.
func Test(userID, endpointID, deliveryID string, at time.Time) Event {
	return of(userID, WebhookTest, deliveryID, at, TestData{endpointID})
}
