// Package numberrequest describes a user's request for a phone number: its states, the time limit
// of its review, and the numbers that fit it. It knows neither the database nor the workflow that
// processes a request.
package numberrequest

import (
	"slices"
	"strings"
	"time"

	"github.com/krosai/telephony/shared/number"
)

// Status is the state of a request: pending, then rejected, or approved and in the end assigned. It
// never moves back.
type Status string

// The states of a request.
const (
	Pending  Status = "pending"  // waits for an administrator
	Approved Status = "approved" // granted; waits if no number is available
	Assigned Status = "assigned" // the user owns NumberID
	Rejected Status = "rejected" // Reason says why
)

// Decided reports whether an administrator has decided or the request has expired.
func (s Status) Decided() bool { return s != Pending }

// Final reports whether the state never changes again.
func (s Status) Final() bool { return s == Assigned || s == Rejected }

// Expired is the reason of a request that was not decided in time.
const Expired = "expired"

// Platform is the actor of the platform's own actions.
const Platform = "platform"

// The time limit of a review, and the interval of the reminders during it.
const (
	ReviewTime    = 30 * 24 * time.Hour
	ReminderEvery = 7 * 24 * time.Hour
)

// The values of Request.Awaits: the workflow of the request waits for an administrator's decision,
// or for an available number.
const (
	AwaitsDecision = "decision"
	AwaitsNumber   = "number"
)

// Request is a request for a phone number. A zero time means "has not happened".
type Request struct {
	ID             string // req_ and a ULID, so ids sort by creation time
	UserID         string
	Country        string // ISO 3166-1 alpha-2
	Type           string // local, mobile, toll_free; empty for any
	AreaCode       string // what the national number must begin with; empty for any
	PhoneNumber    string // the one number asked for, E.164; empty for any
	Capabilities   []string
	Purpose        string
	Status         Status
	Reason         string // of a rejection
	NumberID       string // once assigned
	WantedNumberID string // the number the administrator chose
	DecidedBy      string
	DecidedAt      time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
	NotifiedAt     time.Time // when the owner was notified of the end
	Reminders      int       // how many have been sent
	TaskToken      string    // of the workflow, while it waits
	Awaits         string    // what the workflow waits for with that token
}

// Decision is what an administrator decides on a request.
type Decision struct {
	Approve  bool
	By       string // the administrator
	Reason   string // of a rejection, shown to the user
	Note     string // for the audit only
	NumberID string // the number to assign; if empty, the inventory chooses
}

// Status is the state the decision leads to.
func (d Decision) Status() Status {
	if d.Approve {
		return Approved
	}
	return Rejected
}

// Entry is a line of the audit: the actor, the action, its time, and the states before and
// after it.
type Entry struct {
	At     time.Time
	Actor  string
	Action string
	From   string
	To     string
	Note   string
}

// Line is an entry of the audit with its subject.
type Line struct {
	Subject string
	Entry
}

// Only is the id of the only number that can be assigned: the administrator's choice, or the number
// asked for. It is empty if any number that fits will do.
func (r Request) Only() string {
	switch {
	case r.WantedNumberID != "":
		return r.WantedNumberID
	case r.PhoneNumber != "":
		return number.ID(r.PhoneNumber)
	}
	return ""
}

// Fits reports whether the number fits the request, available or not.
func (r Request) Fits(n number.Number) bool {
	if only := r.Only(); only != "" {
		return n.ID == only
	}
	for _, c := range r.Capabilities {
		if !slices.Contains(n.Capabilities, c) {
			return false
		}
	}
	return n.Country == r.Country && (r.Type == "" || n.Type == r.Type) && strings.HasPrefix(national(n.E164), r.AreaCode)
}

// Overdue reports whether a pending request has exceeded ReviewTime.
func (r Request) Overdue(now time.Time) bool {
	return r.Status == Pending && !now.Before(r.CreatedAt.Add(ReviewTime))
}

// Due is how many reminders are due since the request was made.
func (r Request) Due(now time.Time) int {
	return int(max(0, now.Sub(r.CreatedAt)) / ReminderEvery)
}

// Patience is the time until the next reminder or the expiry of the review, at least a second.
func (r Request) Patience(now time.Time) time.Duration {
	next := r.CreatedAt.Add(time.Duration(r.Due(now)+1) * ReminderEvery)
	if end := r.CreatedAt.Add(ReviewTime); end.Before(next) {
		next = end
	}
	return max(time.Second, next.Sub(now))
}

// national is the number without its country calling code. No calling code is a prefix of another
// (ITU-T E.164, list of assigned country codes): 1 and 7 have one digit, those in twoDigits have
// two, all others three.
func national(e164 string) string {
	digits := strings.TrimPrefix(e164, "+")
	length := 3
	switch {
	case strings.HasPrefix(digits, "1"), strings.HasPrefix(digits, "7"):
		length = 1
	case len(digits) >= 2 && slices.Contains(twoDigits, digits[:2]):
		length = 2
	}
	return digits[min(length, len(digits)):]
}

var twoDigits = []string{"20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49",
	"51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86",
	"90", "91", "92", "93", "94", "95", "98"}
