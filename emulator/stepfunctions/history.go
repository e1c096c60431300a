package stepfunctions

import (
	"encoding/json"
	"strings"
	"time"
)

// maxEvents is how many events the history of an execution may have (AWS Step
// Functions quotas).
const maxEvents = 25_000

// details are the members of an event's detail object, with the names of the
// API; each event type sets those it has.
type details struct {
	Name         string   `json:"name,omitempty"`
	Index        *int     `json:"index,omitempty"`
	Length       *int     `json:"length,omitempty"`
	Input        *string  `json:"input,omitempty"`
	InputMeta    *dataTag `json:"inputDetails,omitempty"`
	Output       *string  `json:"output,omitempty"`
	OutputMeta   *dataTag `json:"outputDetails,omitempty"`
	RoleARN      string   `json:"roleArn,omitempty"`
	ResourceType string   `json:"resourceType,omitempty"`
	Resource     string   `json:"resource,omitempty"`
	Region       string   `json:"region,omitempty"`
	Parameters   string   `json:"parameters,omitempty"`
	Timeout      int64    `json:"timeoutInSeconds,omitempty"`
	Heartbeat    int64    `json:"heartbeatInSeconds,omitempty"`
	Error        string   `json:"error,omitempty"`
	Cause        string   `json:"cause,omitempty"`
}

type dataTag struct {
	Truncated bool `json:"truncated"`
}

func inputDetails(name string, input []byte) *details {
	text := string(input)
	return &details{Name: name, Input: &text, InputMeta: &dataTag{}}
}

func outputDetails(name string, output []byte) *details {
	text := string(output)
	return &details{Name: name, Output: &text, OutputMeta: &dataTag{}}
}

// detailsMember names the member that holds the details of an event.
func detailsMember(event string) string {
	for _, suffix := range []string{"StateEntered", "StateExited"} {
		if strings.HasSuffix(event, suffix) {
			event = suffix
		}
	}
	return strings.ToLower(event[:1]) + event[1:] + "EventDetails"
}

func encodeEvent(id, previous int64, at time.Time, kind string, d *details) json.RawMessage {
	event := map[string]any{"id": id, "previousEventId": previous, "timestamp": epoch(at), "type": kind}
	if d != nil {
		event[detailsMember(kind)] = d
	}
	return encode(event)
}

// withoutData drops the inputs and outputs from an event.
func withoutData(event json.RawMessage) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(event, &members) != nil {
		return event
	}
	for name, value := range members {
		var d details
		if !strings.HasSuffix(name, "EventDetails") || json.Unmarshal(value, &d) != nil {
			continue
		}
		d.Input, d.Output, d.Parameters = nil, nil, ""
		members[name] = encode(d)
	}
	return encode(members)
}
