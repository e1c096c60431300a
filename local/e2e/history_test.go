package e2e

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lk "github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// TestOptionsReachAgentAndPhone checks that voice and metadata reach the agent and are in the
// call's details, and that the phone receives the digits after the answer.
func TestOptionsReachAgentAndPhone(t *testing.T) {
	t.Parallel()
	u, callee := demo(t, shared), fresh()
	voice, metadata := map[string]any{"language": "en-NG", "voice_id": "ada", "speed": 1.25}, map[string]any{"order": "A-1001"}
	id := u.place(callee, request{"voice": voice, "metadata": metadata, "dtmf": "w42#"}).CallID
	d := u.until(id, is("in_progress"))
	a := shared.Access
	dispatches, err := lksdk.NewAgentDispatchServiceClient(a.LiveKitURL, a.LiveKitKey, a.LiveKitSecret).
		ListDispatch(t.Context(), &lk.ListAgentDispatchRequest{Room: d.RoomName})
	if err != nil || len(dispatches.AgentDispatches) != 1 {
		t.Fatalf("%v, %v", dispatches, err)
	}
	type options struct {
		Voice    map[string]any `json:"voice"`
		Metadata map[string]any `json:"metadata"`
		DTMF     string         `json:"dtmf"`
	}
	var told options
	if err := json.Unmarshal([]byte(dispatches.AgentDispatches[0].Metadata), &told); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(options{Voice: voice, Metadata: metadata}, told); diff != "" {
		t.Errorf("the agent is told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(options{voice, metadata, "w42#"}, must[options](u, "GET", "/outbound-calls/"+id+"/details", nil)); diff != "" {
		t.Errorf("details show (-want +got):\n%s", diff)
	}
	u.until(id, details.over)
	if heard, _ := phone(t, shared, callee); heard.DTMFReceived != "42#" {
		t.Errorf("the phone heard %q", heard.DTMFReceived)
	}
}

// TestHistoryAndStatistics checks that an ended call is in the history and in the statistics.
func TestHistoryAndStatistics(t *testing.T) {
	t.Parallel()
	u := demo(t, shared)
	type stats struct {
		Total    int            `json:"total_calls"`
		ByStatus map[string]int `json:"by_status"`
	}
	before := must[stats](u, "GET", "/outbound-calls/stats", nil)
	placed := u.place("+14155550102", nil)
	d := u.until(placed.CallID, details.over)
	list := must[struct {
		Data []details `json:"data"`
	}](u, "GET", "/outbound-calls?limit=100&status=busy&direction=outbound&phone_number_id="+demoNumber+
		"&from="+placed.CreatedAt.Format(time.RFC3339Nano)+"&to="+placed.CreatedAt.Add(time.Millisecond).Format(time.RFC3339Nano), nil)
	d.Timeline = nil
	found := false
	for _, c := range list.Data {
		if c.CallID == d.CallID {
			found = true
			if diff := cmp.Diff(d, c); diff != "" {
				t.Errorf("the list shows (-details +list):\n%s", diff)
			}
		}
	}
	if !found {
		t.Errorf("%s is not in %+v", d.CallID, list.Data)
	}
	after := must[stats](u, "GET", "/outbound-calls/stats", nil)
	if after.Total <= before.Total || after.ByStatus["busy"] <= before.ByStatus["busy"] {
		t.Errorf("statistics were %+v and are %+v", before, after)
	}
}
