package call

import "time"

// Details is a call with its details: timeline, transcript and summary.
type Details struct {
	Call    Call
	Events  []Event // the timeline
	Turns   []Turn  // the transcript, in spoken order
	Summary Summary
}

// Role is the speaker of a turn.
type Role string

// The roles. In both directions, the callee is the person on the phone.
const (
	RoleAgent  Role = "agent"
	RoleCallee Role = "callee"
)

// Turn is what one side said without interruption, as the agent reported it. Its content is
// untrusted: a stranger on the phone may have dictated it.
type Turn struct {
	ID       string // given by the agent, unique within the call
	Role     Role
	Content  string
	At       time.Time // when it was said, by the agent's clock
	Received time.Time // by this platform's clock
}

// The maximum size of a call's transcript. A turn counts with its content, its id and
// TurnOverhead bytes. A transcript, a record and a summary together fit in the 1 MB that one
// DynamoDB query reads.
const (
	MaxTurns     = 2000
	MaxTurnBytes = 900_000
	TurnOverhead = 160
)

// TranscriptGrace is how long turns are accepted after the end of a call.
const TranscriptGrace = 5 * time.Minute

// TakesTurns reports whether the call has not ended, or ended at most TranscriptGrace ago.
func (c Call) TakesTurns(now time.Time) bool {
	return !c.Status.Ended() || now.Sub(c.EndedAt) <= TranscriptGrace
}

// SummaryStatus is the state of a call's summary.
type SummaryStatus string

// The states of a summary. Only a pending one changes.
const (
	SummaryPending SummaryStatus = "pending"
	SummaryReady   SummaryStatus = "ready"
	SummaryFailed  SummaryStatus = "failed" // Reason says why
	SummaryNone    SummaryStatus = "none"   // the call was not answered, or nothing was said
)

// Summary is the summary of a call. The zero Summary is not written yet.
type Summary struct {
	Status    SummaryStatus
	Text      string
	Model     string // the model that wrote it
	Reason    string // why it failed: timeout, unavailable, refused or empty
	CreatedAt time.Time
}

// summaryTimeout is longer than the workflow keeps trying to get a summary.
const summaryTimeout = 15 * time.Minute

// SummaryNow is the summary at a moment. While no summary is written, it derives the expected
// status from the call.
func (s Details) SummaryNow(now time.Time) Summary {
	switch {
	case s.Summary.Status != "":
		return s.Summary
	case !s.Call.Status.Ended():
		return Summary{Status: SummaryPending}
	case s.Call.AnsweredAt.IsZero():
		return Summary{Status: SummaryNone}
	case now.Sub(s.Call.EndedAt) > summaryTimeout:
		return Summary{Status: SummaryFailed, Reason: "unavailable"}
	}
	return Summary{Status: SummaryPending}
}
