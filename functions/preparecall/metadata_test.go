package preparecall_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/secret"
)

var agents = preparecall.Agents{APIURL: "https://api.example", TokenKey: secret.New("a key for tests")}

// toldOfTranscript is the part of the metadata about the transcript of the call id.
const toldOfTranscript = `"transcript_url":"https://api.example/outbound-calls/call_01KAMPJ5V0SAMPMECA00000000/transcript",` +
	`"call_token":"kct_LGcU1JnNdYUypAd5sdet5s9ZiNpLPYOntNejmQuN7pU"`

func TestMetadata(t *testing.T) {
	t.Parallel()
	full := call.Call{ID: id, Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678",
		SystemPrompt: "You confirm deliveries.", WelcomeMessage: "Hello, this is Ada.", Voice: &call.Voice{Language: "en-NG", VoiceID: "ada", Speed: 1.5},
		Metadata: map[string]string{"order": "A-1001", "city": "Lagos"},
		// The metadata leaves these out:
		UserID: "ada", TrunkID: "ST_1", NumberID: "pn_1"}
	least := call.Call{ID: id, Direction: call.Inbound, Remote: "+14155550100", Own: "+2348012345678"}
	const bare = `{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","direction":"inbound","phone_number":"+14155550100","from_number":"+2348012345678"`
	for name, tt := range map[string]struct {
		agents preparecall.Agents
		c      call.Call
		want   string
	}{
		"full": {agents, full, `{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","direction":"outbound","phone_number":"+14155550100","from_number":"+2348012345678",` +
			`"system_prompt":"You confirm deliveries.","welcome_message":"Hello, this is Ada.",` +
			`"voice":{"language":"en-NG","voice_id":"ada","speed":1.5},"metadata":{"city":"Lagos","order":"A-1001"},` + toldOfTranscript + `}`},
		"least":  {agents, least, bare + `,` + toldOfTranscript + `}`},
		"no URL": {preparecall.Agents{TokenKey: agents.TokenKey}, least, bare + `}`},
		"no key": {preparecall.Agents{APIURL: agents.APIURL}, least, bare + `}`},
	} {
		got, err := tt.agents.Metadata(tt.c)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
