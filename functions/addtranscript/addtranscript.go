// Package addtranscript serves POST /outbound-calls/{call_id}/transcript. The agent of a call posts
// what is said there.
package addtranscript

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
)

// Calls keeps transcripts. AddTurns ignores turns whose id is known. It fails with fault.Conflict
// when the transcript is closed or full, and with fault.NotFound for an unknown call.
type Calls interface {
	AddTurns(ctx context.Context, callID string, turns []call.Turn, now time.Time) error
}

// Endpoint takes transcripts.
type Endpoint struct {
	Calls    Calls
	TokenKey secret.Secret // the key of the call tokens that preparecall issues
	Now      func() time.Time
}

// Input is what was said. A post has at most 50 turns. All of them are kept, or none.
type Input struct {
	CallID        string `path:"call_id" doc:"The call of the agent"`
	Authorization string `header:"Authorization" doc:"Bearer and the call_token of the agent's metadata"` // read by admit
	Body          struct {
		Turns []SpokenTurn `json:"turns" minItems:"1" maxItems:"50"`
	}
}

// SpokenTurn is what one side said in one go.
type SpokenTurn struct {
	TurnID  string    `json:"turn_id" pattern:"^[!-~]{1,64}$" patternDescription:"1 to 64 visible ASCII characters" doc:"Unique within the call, visible ASCII. A turn whose id is known is ignored, so a request may be repeated"`
	Role    call.Role `json:"role" enum:"agent,callee" doc:"callee is the person on the phone, in outbound and inbound calls"`
	Content string    `json:"content" minLength:"1" maxLength:"8000" pattern:"^[^\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x7F]*$" patternDescription:"text without control characters" doc:"Text without control characters other than tab and line ends"`
	At      api.Time  `json:"at" doc:"When the turn was spoken, by the agent's clock. The transcript is in this order"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "add-transcript", Method: http.MethodPost, Path: "/outbound-calls/{call_id}/transcript",
		DefaultStatus: http.StatusAccepted, Summary: "Add to a call's transcript", Tags: []string{"Agents"},
		Description: "For the agent of the call, with the call token of its metadata instead of a credential. Turns are taken until five minutes after the call's end. " +
			"A transcript holds 2,000 turns and 900 KB. A turn takes the bytes of its content and its id, and 160 more.",
		Security: api.Public(), Metadata: map[string]any{api.OwnCredential: e.admit},
		Errors: []int{http.StatusUnauthorized, http.StatusConflict, http.StatusServiceUnavailable}}, e.add)
}

// admit refuses a request without the call's own token, whether or not the call exists.
func (e *Endpoint) admit(r *http.Request) error {
	if call.ValidToken(e.TokenKey, r.PathValue("call_id"), api.BearerToken(r.Header)) {
		return nil
	}
	return fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "the call's own token is needed: Authorization: Bearer <call_token>")
}

func (e *Endpoint) add(ctx context.Context, in *Input) (*struct{}, error) {
	turns := make([]call.Turn, len(in.Body.Turns))
	for i, t := range in.Body.Turns {
		turns[i] = call.Turn{ID: t.TurnID, Role: t.Role, Content: t.Content, At: time.Time(t.At)}
	}
	return nil, e.Calls.AddTurns(ctx, in.CallID, turns, e.Now())
}
