package call

import "time"

// Story is a call with what is told of it.
type Story struct {
	Call    Call
	Events  []Event // the timeline
	Turns   []Turn  // the transcript, in the order in which it was spoken
	Summary Summary
}

// Role is who says a turn.
type Role string

// The roles, in both directions: the callee is the person on the phone.
const (
	RoleAgent  Role = "agent"
	RoleCallee Role = "callee"
)

// Turn is what one side said in one go, as the agent told it. It is data that a
// stranger on the phone may have dictated.
type Turn struct {
	ID       string // given by the agent, unique within the call
	Role     Role
	Content  string
	At       time.Time // when it was said, by the agent's clock
	Received time.Time // by ours
}

// What a call's transcript holds at most. A turn counts with its content, its id
// and TurnOverhead bytes. A transcript, a record and a summary fit in the 1 MB
// that one query of DynamoDB reads.
const (
	MaxTurns     = 2000
	MaxTurnBytes = 900_000
	TurnOverhead = 160
)

// TranscriptPatience is how long after the end of a call turns are taken.
const TranscriptPatience = 5 * time.Minute

// TakesTurns reports whether the call lives, or has ended only just now.
func (c Call) TakesTurns(now time.Time) bool {
	return !c.Status.Ended() || now.Sub(c.EndedAt) <= TranscriptPatience
}

// SummaryStatus is where a call's summary stands.
type SummaryStatus string

// The states of a summary. Only a pending one changes.
const (
	SummaryPending SummaryStatus = "pending"
	SummaryReady   SummaryStatus = "ready"
	SummaryFailed  SummaryStatus = "failed" // Reason says why
	SummaryNone    SummaryStatus = "none"   // nothing was said
)

// Summary is what a call was about. The zero Summary is not written yet.
type Summary struct {
	Status    SummaryStatus
	Text      string
	Model     string // who wrote it
	Reason    string // why there is none: timeout, unavailable, refused or empty
	CreatedAt time.Time
}

// summaryPatience is longer than the workflow tries to get a summary.
const summaryPatience = 15 * time.Minute

// SummaryNow is the summary as it stands at a moment: while none is written the
// call says what is to be expected.
func (s Story) SummaryNow(now time.Time) Summary {
	switch {
	case s.Summary.Status != "":
		return s.Summary
	case !s.Call.Status.Ended():
		return Summary{Status: SummaryPending}
	case s.Call.AnsweredAt.IsZero():
		return Summary{Status: SummaryNone}
	case now.Sub(s.Call.EndedAt) > summaryPatience:
		return Summary{Status: SummaryFailed, Reason: "unavailable"}
	}
	return Summary{Status: SummaryPending}
}
