// Package getcall serves GET /outbound-calls/{call_id}/details and, with the same answer,
// GET /outbound-calls/{call_id}.
package getcall

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/id"
)

// Calls reads a user's call with its timeline and its summary, and with its transcript if withTurns
// is set. Another user's call is fault.NotFound.
type Calls interface {
	CallDetails(ctx context.Context, userID, id string, withTurns bool) (call.Details, error)
}

// Endpoint shows calls.
type Endpoint struct {
	Calls Calls
	Now   func() time.Time
}

// Input names the call and the parts to include.
type Input struct {
	CallID            string `path:"call_id" doc:"The call to show"`
	IncludeTranscript bool   `query:"include_transcript" doc:"transcript: the turns too"`
	IncludeSummary    bool   `query:"include_summary" doc:"Show the summary"`
}

// Output is the call.
type Output struct{ Body CallDetails }

// CallDetails is the call details. A time that is null has not happened.
type CallDetails struct {
	CallID         string            `json:"call_id"`
	Status         call.Status       `json:"status" enum:"initiated,dialing,ringing,in_progress,completed,busy,no_answer,failed,canceled"`
	Direction      call.Direction    `json:"direction" enum:"outbound,inbound"`
	PhoneNumber    string            `json:"phone_number"`
	FromNumber     string            `json:"from_number"`
	PhoneNumberID  string            `json:"phone_number_id"`
	RoomName       string            `json:"room_name"`
	AgentName      string            `json:"agent_name"`
	HangupCause    *call.Cause       `json:"hangup_cause" enum:"callee_hangup,agent_hangup,api_hangup,max_duration,transferred,busy,declined,no_answer,invalid_number,trunk_auth,trunk_unreachable,agent_unavailable,network_error,capacity,calls_disabled,not_allowed,unknown" doc:"Why the call ended; null until it has ended"`
	SIPStatusCode  *int              `json:"sip_status_code" doc:"The carrier's last SIP status for the dial; null if it gave none"`
	SystemPrompt   string            `json:"system_prompt"`
	WelcomeMessage string            `json:"welcome_message"`
	Voice          *CallVoice        `json:"voice,omitempty"`
	Metadata       map[string]string `json:"metadata"`
	DTMF           string            `json:"dtmf,omitempty" doc:"The digits that are sent when the phone is answered"`
	RingingTimeout int               `json:"ringing_timeout_seconds" doc:"How long the phone may ring, in seconds. For an inbound call, how long it may wait for the agent"`
	MaxDuration    int               `json:"max_duration_seconds" doc:"The longest talk time, in seconds"`
	CreatedAt      api.Time          `json:"created_at"`
	AnsweredAt     *api.Time         `json:"answered_at"`
	EndedAt        *api.Time         `json:"ended_at"`
	Duration       int               `json:"duration_seconds" doc:"The talk time, in seconds"`
	Transfer       *Transfer         `json:"transfer" doc:"The last attempt to connect the phone to another number; null without one"`
	Timeline       []TimelineEntry   `json:"timeline"`
	Transcript     []Turn            `json:"transcript,omitzero" required:"false" doc:"The turns in the order in which they were spoken, if included"`
	Summary        *Summary          `json:"summary,omitempty" doc:"The summary, if included"`
}

// CallVoice is how the agent speaks.
type CallVoice struct {
	Language string  `json:"language,omitempty" doc:"BCP 47 language tag"`
	VoiceID  string  `json:"voice_id,omitempty" doc:"The speech provider's voice"`
	Speed    float64 `json:"speed,omitempty" doc:"1 is normal speed"`
}

// TimelineEntry is one entry of the timeline.
type TimelineEntry struct {
	At     api.Time `json:"at"`
	Event  string   `json:"event" enum:"dialing,ringing,answered,transfer,ended"`
	Detail string   `json:"detail,omitempty" doc:"For ended, the hangup cause. For transfer, its outcome"`
}

// Transfer is an attempt to connect the phone to another number.
type Transfer struct {
	TransferID    string              `json:"transfer_id"`
	PhoneNumber   string              `json:"phone_number"`
	Status        call.TransferStatus `json:"status" enum:"pending,completed,failed,unknown"`
	SIPStatusCode *int                `json:"sip_status_code" doc:"The carrier's SIP status; null if it gave none"`
	At            api.Time            `json:"at" doc:"When the summary got this status"`
}

// Register adds the operation to the API under both its paths.
func (e *Endpoint) Register(a huma.API) {
	op := huma.Operation{OperationID: "get-call", Method: http.MethodGet, Path: "/outbound-calls/{call_id}/details",
		Summary: "Show a call", Tags: []string{"Calls"}, Security: api.Needs(account.CallsRead)}
	huma.Register(a, op, e.show)
	op.OperationID, op.Path, op.Summary = "read-call", "/outbound-calls/{call_id}", "Show a call, as its details do"
	huma.Register(a, op, e.show)
}

func (e *Endpoint) show(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Call.Check(in.CallID); err != nil {
		return nil, err
	}

	s, err := e.Calls.CallDetails(ctx, api.CallerOf(ctx).UserID, in.CallID, in.IncludeTranscript)
	if err != nil {
		return nil, err
	}

	v := view(s.Call, s.Events)
	if in.IncludeTranscript {
		v.Transcript = transcript(s.Turns)
	}
	if in.IncludeSummary {
		v.Summary = summary(s.SummaryNow(e.Now()))
	}
	return &Output{v}, nil
}

func view(c call.Call, events []call.Event) CallDetails {
	v := CallDetails{CallID: c.ID, Status: c.Status, Direction: c.Direction, PhoneNumber: c.Remote, FromNumber: c.Own,
		PhoneNumberID: c.NumberID, RoomName: c.ShownRoom(), AgentName: c.AgentName, SystemPrompt: c.SystemPrompt,
		WelcomeMessage: c.WelcomeMessage, Voice: (*CallVoice)(c.Voice), Metadata: c.Metadata, DTMF: c.DTMF,
		RingingTimeout: c.RingingTimeout, MaxDuration: c.MaxDuration, CreatedAt: api.Time(c.CreatedAt),
		AnsweredAt: api.OrNull(c.AnsweredAt), EndedAt: api.OrNull(c.EndedAt), Duration: c.Duration(), Timeline: []TimelineEntry{}}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	if c.Cause != "" {
		v.HangupCause = &c.Cause
	}
	if c.SIPStatus != 0 {
		v.SIPStatusCode = &c.SIPStatus
	}
	if t := c.Transfer; t.ID != "" {
		v.Transfer = &Transfer{TransferID: t.ID, PhoneNumber: t.To, Status: t.Status, At: api.Time(t.At)}
		if t.SIPStatus != 0 {
			v.Transfer.SIPStatusCode = &t.SIPStatus
		}
	}
	for _, e := range events {
		v.Timeline = append(v.Timeline, TimelineEntry{At: api.Time(e.At), Event: e.Name, Detail: e.Detail})
	}
	return v
}
