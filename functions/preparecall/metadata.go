package preparecall

import (
	"encoding/json"
	"fmt"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/calltoken"
	"github.com/krosai/telephony/shared/secret"
)

// Agents is what agents need to speak to the API: where it is, without a slash at
// the end, and the key of their calls' tokens. Without both an agent is not told
// where to leave its transcript.
type Agents struct {
	APIURL   string        `env:"API_URL,required,notEmpty"`
	TokenKey secret.Secret `env:"CALL_TOKEN_KEY,required,notEmpty"`
}

// Metadata is what the agent of a call gets: JSON with the call's id, whom it
// talks to, what it is to say, and where and with which token it posts the
// transcript. docs/agents.md lists the members.
func (a Agents) Metadata(c call.Call) (string, error) {
	url, token := a.APIURL+"/outbound-calls/"+c.ID+"/transcript", calltoken.Make(a.TokenKey, c.ID)
	if a.APIURL == "" || token == "" {
		url, token = "", ""
	}
	b, err := json.Marshal(struct {
		CallID         string            `json:"call_id"`
		Direction      call.Direction    `json:"direction"`
		PhoneNumber    string            `json:"phone_number"`
		FromNumber     string            `json:"from_number"`
		SystemPrompt   string            `json:"system_prompt,omitempty"`
		WelcomeMessage string            `json:"welcome_message,omitempty"`
		Voice          *call.Voice       `json:"voice,omitempty"`
		Metadata       map[string]string `json:"metadata,omitempty"`
		TranscriptURL  string            `json:"transcript_url,omitempty"`
		CallToken      string            `json:"call_token,omitempty"`
	}{c.ID, c.Direction, c.PhoneNumber, c.FromNumber, c.SystemPrompt, c.WelcomeMessage, c.Voice, c.Metadata, url, token})
	if err != nil {
		return "", fmt.Errorf("encode dispatch metadata: %w", err)
	}
	return string(b), nil
}
