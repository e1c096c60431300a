// Package call defines the life of a phone call: its states, its ends and the rules that decide
// what an observation means. It depends neither on LiveKit's client nor on the database.
package call

import (
	"cmp"
	"slices"
	"time"
)

// Status is the state of a call. It moves forward only, and an end never changes.
type Status string

// The states in order, followed by the ends.
const (
	Initiated  Status = "initiated"   // accepted, recorded, nothing done yet
	Dialing    Status = "dialing"     // room created, agent dispatched, callee being dialed
	Ringing    Status = "ringing"     // the callee's phone rings
	InProgress Status = "in_progress" // answered
	Completed  Status = "completed"   // was answered and is over
	Busy       Status = "busy"        // the callee is busy or declined
	NoAnswer   Status = "no_answer"   // was not answered
	Failed     Status = "failed"      // could not be placed
	Canceled   Status = "canceled"    // hung up through the API before an answer
)

var rank = map[Status]int{Initiated: 10, Dialing: 20, Ringing: 30, InProgress: 40,
	Completed: 100, Busy: 100, NoAnswer: 100, Failed: 100, Canceled: 100}

// Ended reports whether s is an end.
func (s Status) Ended() bool { return rank[s] == 100 }

// Before reports whether a call in state s may move to state t.
func (s Status) Before(t Status) bool { return rank[s] < rank[t] }

// Cause is the reason why a call ended.
type Cause string

// The causes of an end.
const (
	CalleeHangup     Cause = "callee_hangup"
	AgentHangup      Cause = "agent_hangup"
	APIHangup        Cause = "api_hangup"
	MaxDuration      Cause = "max_duration"
	Transferred      Cause = "transferred"
	CalleeBusy       Cause = "busy"
	Declined         Cause = "declined"
	Unanswered       Cause = "no_answer"
	InvalidNumber    Cause = "invalid_number"
	TrunkAuth        Cause = "trunk_auth"
	TrunkUnreachable Cause = "trunk_unreachable"
	AgentUnavailable Cause = "agent_unavailable"
	NetworkError     Cause = "network_error"
	Capacity         Cause = "capacity"       // waited too long, or came in over a limit
	CallsDisabled    Cause = "calls_disabled" // calls were switched off before it was dialed
	NotAllowed       Cause = "not_allowed"    // its user is no longer allowed to place it
	Unknown          Cause = "unknown"
)

// Direction says whether a call was placed by the platform or came in.
type Direction string

// The directions of a call.
const (
	Outbound Direction = "outbound"
	Inbound  Direction = "inbound"
)

// CalleeIdentity is the identity of the phone's participant in the room of an outbound call. It is
// the same for every call, so a repeated dial cannot put a second phone into the room. LiveKit
// chooses the identity of an inbound caller.
const CalleeIdentity = "callee"

// Call is one phone call. Durations are whole seconds. A zero time means that the event has
// not happened.
type Call struct {
	ID        string
	UserID    string
	Direction Direction
	Remote    string // the other party, E.164
	Own       string // the number of the platform that calls or is called, E.164
	NumberID  string
	RoomName  string
	TrunkID   string // LiveKit's outbound trunk
	AgentName string
	Country   string // of Remote, ISO 3166-1 alpha-2

	// The row "prompt" holds these fields. The record holds only HasMetadata.
	SystemPrompt   string
	WelcomeMessage string
	Voice          *Voice
	Metadata       map[string]string
	HasMetadata    bool

	DTMF string // sent once the phone is answered: 0-9 A-D * #, and w pauses half a second

	RingingTimeout int // seconds
	MaxDuration    int // seconds of talk

	Status    Status
	Cause     Cause
	SIPStatus int

	CreatedAt       time.Time
	DialedAt        time.Time // when the only dial was claimed
	AnsweredAt      time.Time
	EndedAt         time.Time
	HangupRequested time.Time // when a hangup was requested through the API
	MissedAt        time.Time // when the sweep first missed its room; zero if seen since
	Timeline        []Event   // in the order of writing

	Transfer  Transfer // the last one requested
	Transfers int      // how many were requested
}

// Voice is how the agent should speak.
type Voice struct {
	Language string  `json:"language,omitempty" maxLength:"35" doc:"BCP 47 language tag"`
	VoiceID  string  `json:"voice_id,omitempty" maxLength:"128" doc:"The speech provider's voice"`
	Speed    float64 `json:"speed,omitempty" minimum:"0.25" maximum:"4" doc:"1 is normal speed"`
}

// End is how a call ended.
type End struct {
	Status    Status
	Cause     Cause
	SIPStatus int // 0 if SIP gave none
	At        time.Time
	Detail    string // in the timeline; if empty, the timeline shows the cause
}

// order breaks ties between events of one millisecond.
var order = map[string]int{"dialing": 1, "ringing": 2, "answered": 3, "transfer": 4, "ended": 5}

// InOrder sorts a timeline by time. A phone rings before it is answered: if the ringing was seen
// later than LiveKit's own time of the answer, InOrder gives it that time.
func InOrder(timeline []Event, answeredAt time.Time) []Event {
	sorted := slices.Clone(timeline)
	for i, e := range sorted {
		if e.Name == string(Ringing) && !answeredAt.IsZero() && e.At.After(answeredAt) {
			sorted[i].At = answeredAt
		}
	}
	slices.SortStableFunc(sorted, func(a, b Event) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(order[a.Name], order[b.Name]))
	})
	return sorted
}

// Event is one line of a call's timeline.
type Event struct {
	At     time.Time
	Name   string // dialing, ringing, answered, transfer, ended
	Detail string // for ended: the cause, or a more precise text; for transfer: its outcome
}

// Duration is the talk time in whole seconds, rounded to the nearest. It is 0 if the call was not
// answered or has not ended.
func (c Call) Duration() int {
	if c.AnsweredAt.IsZero() || c.EndedAt.IsZero() {
		return 0
	}
	return int(c.EndedAt.Sub(c.AnsweredAt).Round(time.Second) / time.Second)
}

// joinTime is longer than LiveKit takes to put the phone into the room after a dial request.
const joinTime = 10 * time.Second

// Joining reports whether a dialed phone may not have joined the room yet. An inbound phone is in
// the room before its call exists.
func (c Call) Joining(at time.Time) bool {
	return c.Direction != Inbound && !c.DialedAt.IsZero() && c.AnsweredAt.IsZero() && at.Before(c.DialedAt.Add(joinTime))
}

// Deadline is when the call must be over in any case: two minutes after the longest it may ring
// and talk. The time counts from the dial if there is one, because the dial may have waited for
// its turn.
func (c Call) Deadline() time.Time {
	return c.begun().Add(time.Duration(c.RingingTimeout+c.MaxDuration)*time.Second + 2*time.Minute)
}

// begun is when the phone was dialed, or when the call was created if that is later or the phone
// was not dialed.
func (c Call) begun() time.Time {
	if c.DialedAt.After(c.CreatedAt) {
		return c.DialedAt
	}
	return c.CreatedAt
}
