package preparecall

import (
	"encoding/json"
	"fmt"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/secret"
)

// Agents is the configuration with which agents reach the API: its URL without a slash at the
// end, and the key of their calls' tokens. If either is missing, an agent is not told where to
// post its transcript.
type Agents struct {
	APIURL   string        `env:"API_URL,required,notEmpty"`
	TokenKey secret.Secret `env:"CALL_TOKEN_KEY,required,notEmpty"`
}

// Metadata returns the metadata for the agent of a call. It is JSON with the call's id, its
// direction and numbers, the agent's instructions, and the URL and token for posting the
// transcript. docs/agents.md lists the members.
func (a Agents) Metadata(c call.Call) (string, error) {
	url, token := a.APIURL+"/outbound-calls/"+c.ID+"/transcript", call.Token(a.TokenKey, c.ID)
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
	}{c.ID, c.Direction, c.Remote, c.Own, c.SystemPrompt, c.WelcomeMessage, c.Voice, c.Metadata, url, token})
	if err != nil {
		return "", fmt.Errorf("encode dispatch metadata: %w", err)
	}
	return string(b), nil
}
