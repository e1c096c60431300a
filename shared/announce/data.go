package announce

import (
	"time"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/request"
)

// callData is what an event says of a call. The prompt and the agent's words are
// no business of who listens to events.
type callData struct {
	CallID        string            `json:"call_id"`
	Status        call.Status       `json:"status"`
	Direction     call.Direction    `json:"direction"`
	PhoneNumber   string            `json:"phone_number"`
	FromNumber    string            `json:"from_number"`
	PhoneNumberID string            `json:"phone_number_id"`
	HangupCause   *string           `json:"hangup_cause"`
	SIPStatusCode *int              `json:"sip_status_code"`
	Metadata      map[string]string `json:"metadata"`
	CreatedAt     api.Time          `json:"created_at"`
	AnsweredAt    *api.Time         `json:"answered_at"`
	EndedAt       *api.Time         `json:"ended_at"`
	Duration      int               `json:"duration_seconds"`
	Transfer      *transferData     `json:"transfer"`
}

type transferData struct {
	TransferID    string              `json:"transfer_id"`
	PhoneNumber   string              `json:"phone_number"`
	Status        call.TransferStatus `json:"status"`
	SIPStatusCode *int                `json:"sip_status_code"`
}

func callOf(c call.Call) callData {
	d := callData{CallID: c.ID, Status: c.Status, Direction: c.Direction, PhoneNumber: c.PhoneNumber, FromNumber: c.FromNumber,
		PhoneNumberID: c.NumberID, HangupCause: api.TextOrNull(string(c.Cause)), SIPStatusCode: codeOrNull(c.SIPStatus), Metadata: metadataOf(c),
		CreatedAt: api.Time(c.CreatedAt), AnsweredAt: api.OrNull(c.AnsweredAt), EndedAt: api.OrNull(c.EndedAt), Duration: c.Duration()}
	if t := c.Transfer; t.ID != "" {
		d.Transfer = &transferData{TransferID: t.ID, PhoneNumber: t.To, Status: t.Status, SIPStatusCode: codeOrNull(t.SIPStatus)}
	}
	return d
}

func metadataOf(c call.Call) map[string]string {
	if c.Metadata == nil {
		return map[string]string{}
	}
	return c.Metadata
}

func codeOrNull(code int) *int {
	if code == 0 {
		return nil
	}
	return &code
}

// asAnswered is the call as it stood when it was answered, however late that is
// announced.
func asAnswered(c call.Call) call.Call {
	c.Status, c.Cause, c.SIPStatus, c.Transfer = call.InProgress, "", 0, call.Transfer{}
	c.EndedAt = time.Time{}
	return c
}

// summaryData is what an event says of a summary.
type summaryData struct {
	CallID   string            `json:"call_id"`
	Metadata map[string]string `json:"metadata"`
	Summary  summaryText       `json:"summary"`
}

type summaryText struct {
	Text      string   `json:"text"`
	Model     string   `json:"model"`
	CreatedAt api.Time `json:"created_at"`
}

func summaryOf(c call.Call, s call.Summary) summaryData {
	return summaryData{CallID: c.ID, Metadata: metadataOf(c), Summary: summaryText{s.Text, s.Model, api.Time(s.CreatedAt)}}
}

// asDecided is the request as it stood when it was decided on.
func asDecided(r request.Request) request.Request {
	if r.Status == request.Assigned {
		r.Status, r.NumberID = request.Approved, ""
	}
	r.UpdatedAt = r.DecidedAt
	return r
}
