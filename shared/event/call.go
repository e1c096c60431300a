package event

import (
	"time"

	"github.com/krosai/telephony/shared/call"
)

// CallData is the data of an event about a call. It omits the prompt and the agent's words, which
// receivers of events have no need to know.
type CallData struct {
	CallID        string            `json:"call_id"`
	Status        call.Status       `json:"status" enum:"initiated,dialing,ringing,in_progress,completed,busy,no_answer,failed,canceled"`
	Direction     call.Direction    `json:"direction" enum:"outbound,inbound"`
	PhoneNumber   string            `json:"phone_number"`
	FromNumber    string            `json:"from_number"`
	PhoneNumberID string            `json:"phone_number_id"`
	HangupCause   *call.Cause       `json:"hangup_cause" enum:"callee_hangup,agent_hangup,api_hangup,max_duration,transferred,busy,declined,no_answer,invalid_number,trunk_auth,trunk_unreachable,agent_unavailable,network_error,capacity,calls_disabled,not_allowed,unknown"`
	SIPStatusCode *int              `json:"sip_status_code"`
	Metadata      map[string]string `json:"metadata"`
	CreatedAt     Time              `json:"created_at" format:"date-time"`
	AnsweredAt    *Time             `json:"answered_at" format:"date-time"`
	EndedAt       *Time             `json:"ended_at" format:"date-time"`
	Duration      int               `json:"duration_seconds"`
	Transfer      *TransferData     `json:"transfer"`
}

// TransferData is the last transfer of a call.
type TransferData struct {
	TransferID    string              `json:"transfer_id"`
	PhoneNumber   string              `json:"phone_number"`
	Status        call.TransferStatus `json:"status" enum:"pending,completed,failed,unknown"`
	SIPStatusCode *int                `json:"sip_status_code"`
}

func ofCall(c call.Call, kind, thing string, at time.Time, data any) Event {
	e := of(c.UserID, kind, thing, at, data)
	e.CallID, e.HasMetadata = c.ID, c.HasMetadata
	return e
}

func callOf(c call.Call) CallData {
	d := CallData{CallID: c.ID, Status: c.Status, Direction: c.Direction, PhoneNumber: c.Remote, FromNumber: c.Own,
		PhoneNumberID: c.NumberID, HangupCause: orNull(c.Cause), SIPStatusCode: orNull(c.SIPStatus), Metadata: map[string]string{},
		CreatedAt: Time(c.CreatedAt), AnsweredAt: timeOrNull(c.AnsweredAt), EndedAt: timeOrNull(c.EndedAt), Duration: c.Duration()}
	if t := c.Transfer; t.ID != "" {
		d.Transfer = &TransferData{TransferID: t.ID, PhoneNumber: t.To, Status: t.Status, SIPStatusCode: orNull(t.SIPStatus)}
	}
	return d
}

// Answered is the event of a call that was answered. It shows the call as it was at that moment,
// regardless of later changes.
func Answered(c call.Call) Event {
	c.Status, c.Cause, c.SIPStatus, c.Transfer = call.InProgress, "", 0, call.Transfer{}
	c.EndedAt = time.Time{}
	return ofCall(c, CallAnswered, c.ID, c.AnsweredAt, callOf(c))
}

// Ended is the event of a call that has ended.
func Ended(c call.Call) Event { return ofCall(c, CallEnded, c.ID, c.EndedAt, callOf(c)) }

// Transferred is the event of a call's last transfer, once the transfer has an outcome.
func Transferred(c call.Call) Event {
	return ofCall(c, CallTransferFinished, c.Transfer.ID, c.Transfer.At, callOf(c))
}

// SummaryData is the data of a summary that is ready.
type SummaryData struct {
	CallID   string            `json:"call_id"`
	Metadata map[string]string `json:"metadata"`
	Summary  SummaryText       `json:"summary"`
}

// SummaryText is a summary.
type SummaryText struct {
	Text      string `json:"text"`
	Model     string `json:"model"`
	CreatedAt Time   `json:"created_at" format:"date-time"`
}

// Summarized is the event of a summary that is ready.
func Summarized(c call.Call, s call.Summary) Event {
	return ofCall(c, CallSummaryReady, c.ID, s.CreatedAt,
		SummaryData{CallID: c.ID, Metadata: map[string]string{}, Summary: SummaryText{s.Text, s.Model, Time(s.CreatedAt)}})
}

// CallTurn is the type of a turn spoken in a call. It appears only in the log of its call, if the
// reader requests it, and in no webhook.
const CallTurn = "call.turn"

type turnData struct {
	TurnID  string    `json:"turn_id"`
	Role    call.Role `json:"role"`
	Content string    `json:"content"`
	At      Time      `json:"at" format:"date-time"`
}

// Said is the event of a turn of a call.
func Said(userID, callID string, t call.Turn) Event {
	e := of(userID, CallTurn, callID+" "+t.ID, t.At, turnData{t.ID, t.Role, t.Content, Time(t.At)})
	e.CallID, e.Recorded = callID, t.Received
	return e
}
