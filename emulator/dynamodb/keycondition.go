package dynamodb

import "slices"

const keyParameter = "KeyConditionExpression"

// keyTerm is one comparison of a key condition: attribute, operator, values.
type keyTerm struct {
	attribute string
	op        string
	values    []value
}

// keyCondition returns the span of stored keys that a checked KeyConditionExpression
// selects from a table or index with the given keys.
func keyCondition(keys keySchema, n *node) (keySpan, error) {
	terms, err := keyTerms(n)
	if err != nil {
		return keySpan{}, err
	}
	byName := map[string]keyTerm{}
	for _, term := range terms {
		if _, twice := byName[term.attribute]; twice {
			return keySpan{}, invalid("KeyConditionExpressions must only contain one condition per key")
		}
		byName[term.attribute] = term
	}
	if len(terms) > 2 {
		return keySpan{}, invalid("Conditions can be of length 1 or 2 only")
	}
	hash, found := byName[keys.Hash.Name]
	sort, sorted := byName[keys.Range.Name]
	if !found || len(terms) == 2 && !sorted && keys.Range.Name != "" {
		return keySpan{}, invalid("Query condition missed key schema element")
	}
	if hash.op != "=" || len(terms) == 2 && !sorted {
		return keySpan{}, invalid("Query key condition not supported")
	}
	for _, key := range keys.attributes() {
		if err := byName[key.Name].check(key); err != nil {
			return keySpan{}, err
		}
	}
	prefix := appendKey(nil, hash.values[0])
	if !sorted {
		return keySpan{prefix, after(prefix)}, nil
	}
	return sort.span(prefix), nil
}

// keyTerms takes a condition apart at its ANDs.
func keyTerms(n *node) ([]keyTerm, error) {
	switch n.op {
	case "AND":
		left, err := keyTerms(n.args[0])
		if err != nil {
			return nil, err
		}
		right, err := keyTerms(n.args[1])
		return append(left, right...), err
	case "=", "<", "<=", ">", ">=", "BETWEEN", "begins_with":
	default:
		return nil, invalid("Invalid operator used in KeyConditionExpression: %s", n.op)
	}
	args, op := n.args, n.op
	if mirrored, can := map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]; can && args[0].isValue() && args[1].isPath() {
		args, op = []*node{args[1], args[0]}, mirrored
	}
	for _, arg := range args {
		if arg.call {
			return nil, invalid("KeyConditionExpressions cannot contain nested operations")
		}
	}
	hasPath := slices.ContainsFunc(args, (*node).isPath)
	switch {
	case !hasPath:
		return nil, invalid("Invalid condition in KeyConditionExpression: No key attribute specified")
	case !args[0].isPath():
		return nil, invalid("Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its first operand", op)
	case !args[1].isValue() || !args[len(args)-1].isValue():
		return nil, invalid("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
	}
	if len(args[0].path) > 1 {
		return nil, notScalar(args[0].path)
	}
	term := keyTerm{attribute: args[0].path[0].name, op: op}
	for _, arg := range args[1:] {
		term.values = append(term.values, arg.value)
	}
	return []keyTerm{term}, nil
}

func notScalar(p path) error {
	return invalid("Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: %s", p[0].name)
}

func (k keyTerm) check(key keyAttribute) error {
	if slices.ContainsFunc(k.values, func(v value) bool { return v.kind != key.Kind }) {
		return invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
	}
	if slices.ContainsFunc(k.values, func(v value) bool { return v.text == "" }) {
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", emptyKind(key.Kind), key.Name)
	}
	return nil
}

// span is the part of the partition at prefix that the sort key's term selects.
func (k keyTerm) span(prefix []byte) keySpan {
	at := appendKey(slices.Clone(prefix), k.values[0])
	switch k.op {
	case "=":
		return keySpan{at, after(at)}
	case "<":
		return keySpan{prefix, at}
	case "<=":
		return keySpan{prefix, after(at)}
	case ">":
		return keySpan{after(at), after(prefix)}
	case ">=":
		return keySpan{at, after(prefix)}
	case "BETWEEN":
		return keySpan{at, after(appendKey(slices.Clone(prefix), k.values[1]))}
	}
	start := append(slices.Clone(prefix), keyPrefix(k.values[0].text)...)
	return keySpan{start, after(start)}
}
