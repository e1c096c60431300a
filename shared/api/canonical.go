package api

import (
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
)

// canonical is the same text for all bodies with the same meaning: JSON without spaces, with sorted
// members, numbers as float64, and defaults for omitted members. A body that is not JSON is
// returned unchanged.
func (in *input) canonical(body []byte) ([]byte, error) {
	if in.body == nil {
		return body, nil
	}
	value := any(map[string]any{})
	if len(body) > 0 {
		if err := json.Unmarshal(body, &value); err != nil {
			return nil, fmt.Errorf("decode a body for its hash: %w", err)
		}
	}
	in.fill(value, in.body)
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode a body for its hash: %w", err)
	}
	return text, nil
}

// fill sets omitted members to their defaults, as huma does.
func (in *input) fill(value any, schema *huma.Schema) {
	for schema != nil && schema.Ref != "" {
		schema = in.schemas.SchemaFromRef(schema.Ref)
	}
	if schema == nil {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for name, of := range schema.Properties {
			if _, given := v[name]; !given && of.Default != nil {
				v[name] = of.Default
			}
		}
		for name, member := range v {
			if of, _ := memberSchema(schema, name); of != nil {
				in.fill(member, of)
			}
		}
	case []any:
		for _, item := range v {
			in.fill(item, schema.Items)
		}
	}
}
