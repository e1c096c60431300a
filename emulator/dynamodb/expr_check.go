package dynamodb

import (
	"slices"
	"strings"
)

const (
	maxOperators = 300
	maxInList    = 100
)

// place is where in an expression a node stands, which decides what functions may.
type place int

const (
	asCondition place = iota // must be true or false
	asOperand                // must have a value
	assigned                 // behind the = of a SET
	inAssigned               // deeper inside
)

// checkWords refuses, in the order of the text, list indexes that are too large, attribute
// names that are reserved words and functions that must not stand where they do. All
// further checks come behind it.
func checkWords(parameter string, n *node, at place) error {
	if len(n.path) > maxDepth {
		return refuse(parameter, "The document path has too many nesting levels; nesting levels: %d", len(n.path))
	}
	for _, part := range n.path {
		if strings.HasPrefix(part.name, "[") {
			return refuse(parameter, "List index is not within the allowable range; index: %s", part.name)
		}
		if part.name != "" && part.name[0] != '#' && reserved(part.name) {
			return refuse(parameter, "Attribute name is a reserved keyword; reserved keyword: %s", part.name)
		}
	}
	if n.call {
		if err := checkFunctionName(parameter, n, at); err != nil {
			return err
		}
	}
	switch {
	case at >= assigned:
		at = inAssigned
	case n.op != "AND" && n.op != "OR" && n.op != "NOT":
		at = asOperand
	}
	for _, arg := range n.args {
		if err := checkWords(parameter, arg, at); err != nil {
			return err
		}
	}
	return nil
}

func checkFunctionName(parameter string, n *node, at place) error {
	ofUpdates := at >= assigned
	switch n.op {
	case "attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size":
		switch {
		case ofUpdates:
			return refuse(parameter, "The function is not allowed in an update expression; function: %s", n.op)
		case (n.op == "size") != (at == asOperand):
			return misused(parameter, n)
		}
		return nil
	case "if_not_exists", "list_append":
		switch {
		case !ofUpdates:
			return refuse(parameter, "The function is not allowed in a condition expression; function: %s", n.op)
		case n.op == "list_append" && at == inAssigned:
			return misused(parameter, n)
		}
		return nil
	}
	return refuse(parameter, "Invalid function name; function: %s", n.op)
}

func operators(n *node) int {
	count := 0
	n.walk(func(n *node) {
		if !n.isPath() && !n.isValue() {
			count++
		}
	})
	return count
}

// checkTruth resolves the placeholders of a node that must be true or false and refuses
// what no item could make sense of, one comparison behind the other.
func (s *scope) checkTruth(parameter string, n *node) error {
	switch n.op {
	case "AND", "OR", "NOT":
		for _, arg := range n.args {
			if err := s.checkTruth(parameter, arg); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.resolve(parameter, n); err != nil {
		return err
	}
	if n.call {
		return checkFunction(parameter, n)
	}
	for _, arg := range n.args {
		if err := checkOperand(parameter, arg); err != nil {
			return err
		}
	}
	switch n.op {
	case "<", "<=", ">", ">=", "BETWEEN":
		if err := checkKinds(parameter, n, kindS, kindN, kindB); err != nil {
			return err
		}
	}
	if err := checkDistinct(parameter, n); err != nil {
		return err
	}
	switch {
	case n.op == "BETWEEN":
		return checkBounds(parameter, n.args[1], n.args[2])
	case n.op == "IN" && len(n.args)-1 > maxInList:
		return refuse(parameter, "The IN operator is provided with too many operands; number of operands: %d", len(n.args)-1)
	}
	return nil
}

// checkOperand checks a node that must have a value: a path, a value or size(…).
func checkOperand(parameter string, n *node) error {
	if !n.call {
		return nil
	}
	if err := checkCount(parameter, n, 1); err != nil {
		return err
	}
	if err := checkOperand(parameter, n.args[0]); err != nil {
		return err
	}
	return checkKinds(parameter, n, kindS, kindB, kindSS, kindNS, kindBS, kindL, kindM)
}

func misused(parameter string, n *node) error {
	return refuse(parameter, "The function is not allowed to be used this way in an expression; function: %s", n.op)
}

func checkFunction(parameter string, n *node) error {
	if n.op == "attribute_exists" || n.op == "attribute_not_exists" {
		if err := checkCount(parameter, n, 1); err != nil {
			return err
		}
		return checkPath(parameter, n)
	}
	if err := checkCount(parameter, n, 2); err != nil {
		return err
	}
	for _, arg := range n.args {
		if err := checkOperand(parameter, arg); err != nil {
			return err
		}
	}
	switch n.op {
	case "attribute_type":
		return checkTypeName(parameter, n)
	case "begins_with":
		if err := checkDistinct(parameter, n); err != nil {
			return err
		}
		return checkKinds(parameter, n, kindS, kindB)
	}
	return checkDistinct(parameter, n)
}

// checkPath checks that the first argument is a document path.
func checkPath(parameter string, n *node) error {
	if n.args[0].isPath() {
		return nil
	}
	return refuse(parameter, "Operator or function requires a document path; operator or function: %s", n.op)
}

func checkCount(parameter string, n *node, want int) error {
	if len(n.args) == want {
		return nil
	}
	return refuse(parameter, "Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", n.op, len(n.args))
}

func checkTypeName(parameter string, n *node) error {
	name := n.args[1]
	if !name.isValue() {
		return wrongOperand(parameter, n.op, "{S,DICT,N,DECIMALSET,HDS,DOUBLESET,B,SS,FLOAT,BS,INT,DOUBLE,DECIMAL,L,NULL,FS,M,HD,NS,INTSET,BOOL}")
	}
	if name.value.kind != kindS {
		return wrongOperand(parameter, n.op, string(name.value.kind))
	}
	if !slices.Contains(kindCodes, kind(name.value.text)) {
		return refuse(parameter, "Invalid attribute type name found; type: %s, valid types: {N,BS,L,B,NULL,M,S,SS,NS,BOOL}", name.value.text)
	}
	return nil
}

func wrongOperand(parameter, op, kinds string) error {
	return refuse(parameter, "Incorrect operand type for operator or function; operator or function: %s, operand type: %s", op, kinds)
}

// checkKinds checks those operands whose type is known before any item is.
func checkKinds(parameter string, n *node, allowed ...kind) error {
	for _, arg := range n.args {
		known := arg.value.kind
		if arg.op == "size" {
			known = kindN
		}
		if known != "" && !slices.Contains(allowed, known) {
			return wrongOperand(parameter, n.op, string(known))
		}
	}
	return nil
}

// checkDistinct refuses to compare a path with itself.
func checkDistinct(parameter string, n *node) error {
	first := n.args[0]
	for _, arg := range n.args[1:] {
		if first.isPath() && arg.isPath() && equalPaths(first.path, arg.path) {
			return refuse(parameter, "The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", n.op, first.path)
		}
	}
	return nil
}

// checkBounds checks the bounds of BETWEEN when both are given values.
func checkBounds(parameter string, low, high *node) error {
	if !low.isValue() || !high.isValue() {
		return nil
	}
	order, same := low.value.compare(high.value)
	var problem string
	switch {
	case !same:
		problem = "same data type for lower and upper bounds"
	case order > 0:
		problem = "upper bound to be greater than or equal to lower bound"
	default:
		return nil
	}
	return refuse(parameter, "The BETWEEN operator requires %s; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s", problem, show(low.value), show(high.value))
}

func show(v value) string { return "{" + string(v.kind) + ":" + v.text + "}" }
