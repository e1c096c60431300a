package livekit

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
)

// Event is one of LiveKit's webhooks. They are hints: they may be missing, late, duplicated or out
// of order.
type Event struct {
	ID        string // EV_…, the same when LiveKit delivers it again
	Name      string // room_started, participant_joined, participant_left, room_finished …
	Room      string
	CreatedAt time.Time // whole seconds

	// About the room; absent on track_… events.
	RoomID        string // RM_…
	RoomCreatedAt time.Time

	// The participant, if the event is about one. Only Identity and ParticipantID are set on
	// track_… events.
	Identity      string
	ParticipantID string
	Phone         bool // the participant is a SIP participant
	Agent         bool // the participant is an agent
	Status        call.PhoneStatus
	Leave         call.Leave // on participant_left
	Answered      bool       // on participant_left of an outbound call: the call had been answered

	// About an inbound call.
	TrunkID string // the trunk it came through, ST_…
	RuleID  string // the dispatch rule that took it, SDR_…
	Caller  string // absent when the rule hides it
	Called  string
}

// tokenLifeLimit is the longest lifetime that a webhook's token may still have. LiveKit gives five
// minutes. A captured webhook cannot be replayed for longer.
const (
	tokenLifeLimit = 10 * time.Minute
	clockLeeway    = time.Minute
)

type webhookClaims struct {
	jwt.RegisteredClaims
	SHA256 string `json:"sha256"`
}

// ReceiveWebhook verifies that LiveKit sent these bytes, and decodes them. authorization is the
// Authorization header as received (a bare JWT). A webhook that LiveKit did not sign is
// fault.Unauthenticated. A signed webhook that cannot be decoded is fault.Invalid. Sending either
// again does not help. The caller limits the size of raw.
func (c *Client) ReceiveWebhook(raw []byte, authorization string) (Event, error) {
	if err := c.verify(raw, authorization); err != nil {
		return Event{}, &fault.Error{Kind: fault.Unauthenticated, Code: "UNAUTHENTICATED",
			Detail: "the webhook is not signed by LiveKit", Err: err}
	}
	var e livekit.WebhookEvent
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &e); err != nil {
		return Event{}, &fault.Error{Kind: fault.Invalid, Code: "INVALID_REQUEST", Detail: "not a LiveKit event", Err: err}
	}
	return eventOf(&e), nil
}

func (c *Client) verify(raw []byte, token string) error {
	if strings.ContainsAny(token, "\r\n") {
		return errors.New("the token is broken over lines") // base64 would ignore the breaks
	}
	var claims webhookClaims
	_, err := jwt.ParseWithClaims(token, &claims, c.webhookKey, jwt.WithValidMethods([]string{"HS256"}),
		jwt.WithExpirationRequired(), jwt.WithLeeway(clockLeeway), jwt.WithTimeFunc(c.now), jwt.WithStrictDecoding())
	if err != nil {
		return err
	}
	if claims.ExpiresAt.Sub(c.now()) > tokenLifeLimit+clockLeeway {
		return errors.New("the token lives too long")
	}
	sum := sha256.Sum256(raw)
	if subtle.ConstantTimeCompare([]byte(claims.SHA256), []byte(base64.StdEncoding.EncodeToString(sum[:]))) != 1 {
		return errors.New("the token is for another body")
	}
	return nil
}

// webhookKey finds the secret of the key that a token names as its issuer.
func (c *Client) webhookKey(t *jwt.Token) (any, error) {
	issuer, err := t.Claims.GetIssuer()
	switch {
	case err != nil || issuer == "":
		return nil, errors.New("the token names no key")
	case issuer == c.config.APIKey && !c.config.APISecret.IsZero():
		return []byte(c.config.APISecret.Reveal()), nil
	case issuer == c.config.OldAPIKey && !c.config.OldAPISecret.IsZero():
		return []byte(c.config.OldAPISecret.Reveal()), nil
	}
	return nil, errors.New("the token names an unknown key")
}

func eventOf(e *livekit.WebhookEvent) Event {
	out := Event{ID: e.GetId(), Name: e.GetEvent(), Room: e.GetRoom().GetName(), CreatedAt: time.Unix(e.GetCreatedAt(), 0).UTC(),
		RoomID: e.GetRoom().GetSid(), RoomCreatedAt: createdAt(e.GetRoom())}
	p := e.GetParticipant()
	if p == nil {
		return out
	}
	out.Identity, out.ParticipantID = p.Identity, p.Sid
	out.Phone, out.Agent = p.Kind == livekit.ParticipantInfo_SIP, p.Kind == livekit.ParticipantInfo_AGENT
	a, phone := p.GetAttributes(), phoneOf(p)
	out.Status, out.TrunkID, out.RuleID, out.Caller, out.Called = phone.Status, phone.TrunkID, phone.RuleID, phone.Caller, phone.Called
	if out.Name == "participant_left" {
		out.Leave.Status = out.Status
		if p.DisconnectReason != livekit.DisconnectReason_UNKNOWN_REASON {
			out.Leave.Reason = call.LeaveReason(p.DisconnectReason.String())
		}
		out.Answered = a["sip.callTag"] != "" && a["sip.callIDFull"] != ""
	}
	return out
}
