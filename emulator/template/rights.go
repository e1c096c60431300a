package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// policy is a policy document as a function carries it. Names of managed
// policies and SAM's policy templates are not understood.
type policy struct {
	statements []statement
}

// statement is one that allows actions on resources. Any other member
// (Condition, NotAction, Principal) would change the actions that it allows, and is refused.
type statement struct {
	Sid              string
	Effect           string
	Action, Resource oneOrMore
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

func (p *policy) UnmarshalJSON(data []byte) error {
	var document struct {
		Version   string
		Statement []statement
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&document); err != nil {
		return fmt.Errorf("a policy is a document of version 2012-10-17 with statements that allow: %w", err)
	}
	if document.Version != "2012-10-17" || len(document.Statement) == 0 {
		return fmt.Errorf("a policy of version %q with %d statements is not supported", document.Version, len(document.Statement))
	}
	p.statements = document.Statement
	return nil
}

func rightsOf(policies []policy) ([]Right, error) {
	var rights []Right
	for _, p := range policies {
		for _, s := range p.statements {
			if s.Effect != "Allow" || len(s.Action) == 0 || len(s.Resource) == 0 {
				return nil, errors.New("a statement allows at least one action on one resource")
			}
			for _, resource := range s.Resource {
				for _, action := range s.Action {
					rights = append(rights, Right{action, resource})
				}
			}
		}
	}
	return rights, nil
}
