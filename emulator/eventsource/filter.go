package eventsource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// maxFilters is how many filters a mapping may have.
const maxFilters = 5

// filter is a pattern: each key must lead to an object that the filter below it matches, or
// to a text that is one of some.
type filter struct {
	keys  map[string]filter
	texts []string // of a leaf; nil elsewhere
}

func parseFilters(patterns []string) ([]filter, error) {
	if len(patterns) > maxFilters {
		return nil, fmt.Errorf("%d filters, at most %d are allowed", len(patterns), maxFilters)
	}
	var filters []filter
	for _, pattern := range patterns {
		var f filter
		if err := json.Unmarshal([]byte(pattern), &f); err != nil {
			return nil, fmt.Errorf("filter %s: %w", pattern, err)
		}
		if f.keys == nil {
			return nil, fmt.Errorf("filter %s: it must be an object", pattern)
		}
		filters = append(filters, f)
	}
	return filters, nil
}

// UnmarshalJSON reads an object of filters, or a list of texts.
func (f *filter) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		if err := json.Unmarshal(data, &f.keys); err != nil {
			return err
		}
		if len(f.keys) == 0 {
			return fmt.Errorf("an object without keys is not supported")
		}
		return nil
	}
	var rules []any
	if err := json.Unmarshal(data, &rules); err != nil || len(rules) == 0 {
		return fmt.Errorf("%s is not a list of texts", data)
	}
	for _, rule := range rules {
		text, ok := rule.(string)
		if !ok {
			return fmt.Errorf("rule %v is not supported: only texts are", rule)
		}
		f.texts = append(f.texts, text)
	}
	return nil
}

func (f filter) matches(v any) bool {
	if f.keys == nil {
		text, ok := v.(string)
		return ok && slices.Contains(f.texts, text)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return false
	}
	for key, below := range f.keys {
		if found, has := object[key]; !has || !below.matches(found) {
			return false
		}
	}
	return true
}
