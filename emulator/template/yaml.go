package template

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Decode reads a template's YAML into maps, slices and scalars. CloudFormation's short tags
// become their long form: !Sub x is {"Fn::Sub": x}, !Ref x is {"Ref": x}.
// Nothing is resolved.
// Anchors, merge keys and duplicate keys are refused: CloudFormation has none.
func Decode(data []byte) (any, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fmt.Errorf("want one YAML document, got %d", len(file.Docs))
	}
	return value(file.Docs[0].Body)
}

func value(node ast.Node) (any, error) {
	switch n := node.(type) {
	case *ast.TagNode:
		return tagged(n)
	case *ast.MappingNode:
		return mapping(n)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for _, v := range n.Values {
			item, err := value(v)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, nil
	case *ast.LiteralNode: // a block of text, | or >
		return n.Value.Value, nil
	case *ast.AnchorNode, *ast.AliasNode:
	case ast.ScalarNode:
		return n.GetValue(), nil
	}
	return nil, fmt.Errorf("line %d: %s is not supported", node.GetToken().Position.Line, node.Type())
}

func mapping(n *ast.MappingNode) (any, error) {
	m := make(map[string]any, len(n.Values))
	for _, pair := range n.Values {
		key := pair.Key.GetToken().Value
		if _, twice := m[key]; twice || pair.Key.IsMergeKey() {
			return nil, fmt.Errorf("line %d: key %s is there twice or merges", pair.Key.GetToken().Position.Line, key)
		}
		v, err := value(pair.Value)
		if err != nil {
			return nil, err
		}
		m[key] = v
	}
	return m, nil
}

func tagged(n *ast.TagNode) (any, error) {
	arg, err := value(n.Value)
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(n.Start.Value, "!")
	if name == "Ref" || name == "Condition" {
		return map[string]any{name: arg}, nil
	}
	if s, ok := arg.(string); ok && name == "GetAtt" {
		id, attribute, _ := strings.Cut(s, ".")
		arg = []any{id, attribute}
	}
	return map[string]any{"Fn::" + name: arg}, nil
}
