// Package request is a user's request for a phone number: its states, how long
// a review may take, and which numbers would do. It knows neither the database
// nor the workflow that carries a request through.
package request

import (
	"slices"
	"strings"
	"time"

	"github.com/krosai/telephony/shared/number"
)

// Status is where a request stands: pending, then rejected, or approved and in
// the end assigned. It never moves back.
type Status string

// The states of a request.
const (
	Pending  Status = "pending"  // waits for an administrator
	Approved Status = "approved" // granted; waits for a number if none is free
	Assigned Status = "assigned" // the user owns NumberID
	Rejected Status = "rejected" // Reason says why
)

// Decided reports whether an administrator, or time, has decided.
func (s Status) Decided() bool { return s != Pending }

// Final reports whether nothing will change any more.
func (s Status) Final() bool { return s == Assigned || s == Rejected }

// Expired is the reason of a request that nobody decided in time.
const Expired = "expired"

// Platform is the actor of what the platform does by itself.
const Platform = "platform"

// How long a review may take, and how often it is called to mind meanwhile.
const (
	ReviewTime    = 30 * 24 * time.Hour
	ReminderEvery = 7 * 24 * time.Hour
)

// What the workflow of a request can wait for.
const (
	AwaitsDecision = "decision"
	AwaitsStock    = "stock"
)

// Request is a request for a phone number. A zero time means "has not happened".
type Request struct {
	ID             string // req_ and a ULID: ids are in the order of their times
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
	NotifiedAt     time.Time // the owner was told of the end
	Reminders      int       // how many have been given
	TaskToken      string    // of the workflow while it waits
	Awaits         string    // what that token waits for
}

// Decision is what an administrator decides on a request.
type Decision struct {
	Approve  bool
	By       string // the administrator
	Reason   string // of a rejection, shown to the user
	Note     string // for the audit only
	NumberID string // the number to assign; empty lets the inventory choose
}

// Status is the state the decision leads to.
func (d Decision) Status() Status {
	if d.Approve {
		return Approved
	}
	return Rejected
}

// Entry is a line of the audit: who did what, when, and which state it changed
// from and to.
type Entry struct {
	At     time.Time
	Actor  string
	Action string
	From   string
	To     string
	Note   string
}

// Line is an entry of the audit with what it is about.
type Line struct {
	Subject string
	Entry
}

// Only is the id of the one number that can be assigned: the administrator's
// choice, or the number asked for. It is empty when any that fits will do.
func (r Request) Only() string {
	switch {
	case r.WantedNumberID != "":
		return r.WantedNumberID
	case r.PhoneNumber != "":
		return number.ID(r.PhoneNumber)
	}
	return ""
}

// Fits reports whether the number would do, free or not.
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

// Overdue reports whether the review has taken too long.
func (r Request) Overdue(now time.Time) bool {
	return r.Status == Pending && !now.Before(r.CreatedAt.Add(ReviewTime))
}

// Due is how many reminders the review has earned so far.
func (r Request) Due(now time.Time) int {
	return int(max(0, now.Sub(r.CreatedAt)) / ReminderEvery)
}

// Patience is how long the review may go on before the next reminder or its
// expiry, at least a second.
func (r Request) Patience(now time.Time) time.Duration {
	next := r.CreatedAt.Add(time.Duration(r.Due(now)+1) * ReminderEvery)
	if end := r.CreatedAt.Add(ReviewTime); end.Before(next) {
		next = end
	}
	return max(time.Second, next.Sub(now))
}

// national is the number without its country calling code. Calling codes are
// free of prefixes (ITU-T E.164, list of assigned country codes): 1 and 7 stand
// alone, those below have two digits, all others three.
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
