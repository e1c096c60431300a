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
// selects from the page's table or index.
func (p *page) keyCondition(n *node) (keySpan, error) {
	keys := p.keys
	byName := map[string]keyTerm{}
	if err := keyTerms(n, byName); err != nil {
		return keySpan{}, err
	}
	if len(byName) > 2 {
		return keySpan{}, invalid("Conditions can be of length 1 or 2 only")
	}
	hash, found := byName[keys.Hash.Name]
	if len(byName) == 2 && keys.Range.Name == "" {
		return keySpan{}, unsupportedKey()
	}
	if !found {
		return keySpan{}, missedKey(keys.Hash)
	}
	if err := hash.checkKind(keys.Hash); err != nil {
		return keySpan{}, err
	}
	if hash.op != "=" {
		return keySpan{}, unsupportedKey()
	}
	if hash.isEmpty() {
		return keySpan{}, invalid("%s", p.emptyKey(keys.Hash))
	}
	prefix := appendKey(nil, hash.values[0])
	sort, sorted := byName[keys.Range.Name]
	switch {
	case len(byName) == 2 && !sorted:
		return keySpan{}, missedKey(keys.Range)
	case !sorted:
		return keySpan{prefix, after(prefix)}, nil
	case slices.ContainsFunc(sort.values, func(v value) bool { return len(v.text) > maxRangeSize }):
		return keySpan{}, invalid("One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
	}
	if err := sort.checkKind(keys.Range); err != nil {
		return keySpan{}, err
	}
	if sort.isEmpty() {
		return keySpan{}, invalid("%s", p.emptyKey(keys.Range))
	}
	return sort.span(prefix), nil
}

func missedKey(key keyAttribute) error {
	return invalid("Query condition missed key schema element: %s", key.Name)
}

func unsupportedKey() error { return invalid("Query key condition not supported") }

// keyTerms takes a condition apart at its ANDs.
func keyTerms(n *node, byName map[string]keyTerm) error {
	if n.op == "AND" {
		if err := keyTerms(n.args[0], byName); err != nil {
			return err
		}
		return keyTerms(n.args[1], byName)
	}
	term, err := n.keyTerm()
	if err != nil {
		return err
	}
	if _, twice := byName[term.attribute]; twice {
		return invalid("KeyConditionExpressions must only contain one condition per key")
	}
	byName[term.attribute] = term
	return nil
}

func (n *node) keyTerm() (keyTerm, error) {
	switch n.op {
	case "=", "<", "<=", ">", ">=", "BETWEEN", "begins_with":
	default:
		return keyTerm{}, invalid("Invalid operator used in KeyConditionExpression: %s", n.op)
	}
	args, op := n.args, n.op
	if mirrored, can := map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]; can && args[0].isValue() && args[1].isPath() {
		args, op = []*node{args[1], args[0]}, mirrored
	}
	for _, arg := range args {
		if arg.call {
			return keyTerm{}, invalid("KeyConditionExpressions cannot contain nested operations")
		}
	}
	hasPath := slices.ContainsFunc(args, (*node).isPath)
	switch {
	case !hasPath:
		return keyTerm{}, invalid("Invalid condition in KeyConditionExpression: No key attribute specified")
	case !args[0].isPath():
		return keyTerm{}, invalid("Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its first operand", op)
	case !args[1].isValue() || !args[len(args)-1].isValue():
		return keyTerm{}, invalid("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
	}
	if len(args[0].path) > 1 {
		return keyTerm{}, invalid("KeyConditionExpressions cannot have conditions on nested attributes")
	}
	term := keyTerm{attribute: args[0].path[0].name, op: op}
	for _, arg := range args[1:] {
		term.values = append(term.values, arg.value)
	}
	return term, nil
}

func (k keyTerm) checkKind(key keyAttribute) error {
	for _, v := range k.values {
		switch {
		case !k.takes(v.kind):
			return invalid("One or more parameter values were invalid: ComparisonOperator %s is not valid for %s AttributeValue type", k.comparison(), v.kind)
		case v.kind != key.Kind:
			return invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
		}
	}
	return nil
}

// takes reports whether the operator can have operands of a type at all.
func (k keyTerm) takes(operand kind) bool {
	switch operand {
	case kindS, kindB:
		return true
	case kindN:
		return k.op != "begins_with"
	case kindSS, kindNS, kindBS:
		return k.op == "="
	}
	return false
}

// comparison is the name that the operator has in messages.
func (k keyTerm) comparison() string {
	if name, is := map[string]string{"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE", "begins_with": "BEGINS_WITH"}[k.op]; is {
		return name
	}
	return k.op
}

func (k keyTerm) isEmpty() bool {
	return slices.ContainsFunc(k.values, func(v value) bool { return v.text == "" })
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
