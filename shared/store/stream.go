package store

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"

	"github.com/krosai/telephony/shared/event"
)

// Stream is a batch of the stream of the Events table, as Lambda passes it to a function.
type Stream struct {
	Records []Record
}

// Record is one change of the table.
type Record struct {
	Change struct {
		SequenceNumber string
		NewImage       json.RawMessage
	} `json:"dynamodb"`
}

// Event decodes the event that was written.
func (r Record) Event() (event.Event, error) {
	raw, err := attributevalue.UnmarshalMapJSON(r.Change.NewImage)
	if err != nil {
		return event.Event{}, fmt.Errorf("record %s: %w", r.Change.SequenceNumber, err)
	}
	written, err := decode[eventRow](raw)
	return written.event(), err
}
