package livekit_test

import (
	"testing"

	lk "github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/proto"
	"gopkg.in/yaml.v3"
)

// TestLiveKitReadsYAML: what LiveKit reads and writes as YAML, without the package
// that it was written with (see shared/livekit/protoyaml).
func TestLiveKitReadsYAML(t *testing.T) {
	t.Parallel()
	want := &lk.RoomConfiguration{Name: "calls", EmptyTimeout: 60, Agents: []*lk.RoomAgentDispatch{{AgentName: "support"}}}
	text, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil || fields["empty_timeout"] != 60 {
		t.Errorf("%v, %v in\n%s", fields, err, text)
	}
	var got lk.RoomConfiguration
	if err := yaml.Unmarshal(text, &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("%v, %v from\n%s", &got, err, text)
	}
	if err := yaml.Unmarshal([]byte("no_such_field: 1"), &got); err == nil {
		t.Error("a field that LiveKit does not know was taken")
	}
}
