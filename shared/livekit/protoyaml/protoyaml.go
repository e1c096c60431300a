// Package protoyaml takes the place of buf.build/go/protoyaml, which
// github.com/livekit/protocol calls to read and write parts of LiveKit's
// configuration as YAML, and which brings the CEL language with it: 6 MB in each
// function that talks to LiveKit, and a third of its start. It has what LiveKit
// calls and nothing else; go.mod replaces the one by the other.
package protoyaml

import (
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"gopkg.in/yaml.v3"
)

// Unmarshal reads a message from YAML, with the field names of protobuf or of its
// JSON form. An unknown field is an error.
func Unmarshal(text []byte, m proto.Message) error {
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return err
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(raw, m)
}

// MarshalOptions say how a message is written.
type MarshalOptions struct {
	UseProtoNames bool // the field names of protobuf, not of its JSON form
}

// Marshal writes a message as JSON, which is YAML too.
func (o MarshalOptions) Marshal(m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{UseProtoNames: o.UseProtoNames}.Marshal(m)
}
