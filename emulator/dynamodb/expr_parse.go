package dynamodb

import (
	"slices"
	"strconv"
)

const maxExpression = 4096 // bytes (Developer Guide, "Expression parameters" quotas)

// parser reads one expression of a request. The first error ends it, by panic with an
// *Error that parse recovers.
type parser struct {
	parameter string // such as ConditionExpression
	text      string
	tokens    []token
	at        int
	late      error // a mistake that counts if the grammar holds: needless parentheses, a section twice
}

// parse runs grammar over all of text.
func parse[T any](parameter, text string, grammar func(*parser) T) (result T, err error) {
	p := &parser{parameter: parameter, text: text}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *Error:
			err = e
		default:
			panic(e)
		}
	}()
	p.tokens = lex(text)
	if text == "" {
		p.failf("The expression can not be empty;")
	}
	if len(text) > maxExpression {
		p.failf("Expression size has exceeded the maximum allowed size; expression size: %d", len(text))
	}
	result = grammar(p)
	if p.peek().kind != tokenEnd {
		p.unexpected()
	}
	return result, p.late
}

func (p *parser) failf(format string, args ...any) { panic(refuse(p.parameter, format, args...)) }

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// accept takes the next token if it is text.
func (p *parser) accept(text string) bool {
	if !p.peek().is(text) {
		return false
	}
	p.at++
	return true
}

func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.unexpected()
	}
}

// unexpected refuses the next token, showing it with its neighbours.
func (p *parser) unexpected() {
	t := p.peek()
	from, to := 0, len(p.text)
	if p.at > 0 {
		from = p.tokens[p.at-1].start
	}
	if p.at+1 < len(p.tokens) && p.tokens[p.at+1].kind != tokenEnd {
		to = p.tokens[p.at+1].end
	}
	p.failf(`Syntax error; token: "%s", near: "%s"`, t.text, p.text[from:to])
}

// condition reads a whole condition: OR of AND of NOT of comparisons.
func (p *parser) condition() *node {
	left := p.conjunction()
	for p.accept("OR") {
		left = &node{op: "OR", args: []*node{left, p.conjunction()}}
	}
	return left
}

func (p *parser) conjunction() *node {
	left := p.negation()
	for p.accept("AND") {
		left = &node{op: "AND", args: []*node{left, p.negation()}}
	}
	return left
}

func (p *parser) negation() *node {
	if p.accept("NOT") {
		return &node{op: "NOT", args: []*node{p.negation()}}
	}
	return p.predicate()
}

// predicate reads a comparison, a function, or a condition in parentheses.
func (p *parser) predicate() *node {
	if p.peek().is("(") && !p.operandInParentheses() {
		p.at++
		return p.close(p.condition())
	}
	left := p.comparand()
	switch t := p.peek(); {
	case t.isComparator():
		p.at++
		return &node{op: t.text, args: []*node{left, p.comparand()}}
	case p.accept("BETWEEN"):
		low := p.comparand()
		p.expect("AND")
		return &node{op: "BETWEEN", args: []*node{left, low, p.comparand()}}
	case p.accept("IN"):
		p.expect("(")
		in := &node{op: "IN", args: append([]*node{left}, p.list(p.comparand)...)}
		p.expect(")")
		return in
	case left.call && !left.group:
		return left // a function may be the whole condition
	}
	p.unexpected()
	return nil
}

// operandInParentheses reports whether the next token, an opening parenthesis, begins an
// operand, as in (a) = :b, or a condition, as in (a = :b). A function may be either; then
// what comes behind the end says so.
func (p *parser) operandInParentheses() bool {
	rest, depth := p.tokens[p.at:], 0
	for ; rest[0].is("("); rest = rest[1:] {
		depth++
	}
	function := rest[0].kind == tokenWord && rest[1].is("(")
	for inside := 0; rest[0].kind != tokenEnd; rest = rest[1:] {
		switch t := rest[0]; {
		case t.is("("):
			inside++
		case t.is(")") && inside == 0:
			if depth--; depth == 0 {
				return !function || rest[1].isComparator() || rest[1].is("BETWEEN") || rest[1].is("IN")
			}
		case t.is(")"):
			inside--
		case inside == 0 && (t.isKeyword() || t.isComparator()):
			return false
		}
	}
	return false
}

func (t token) isComparator() bool {
	return t.kind == tokenMark && slices.Contains([]string{"=", "<>", "<", "<=", ">", ">="}, t.text)
}

func (p *parser) comparand() *node {
	if !p.accept("(") {
		return p.operand()
	}
	return p.close(p.comparand())
}

// close ends the parentheses around n.
func (p *parser) close(n *node) *node {
	p.expect(")")
	if n.group && p.late == nil {
		p.late = refuse(p.parameter, "The expression has redundant parentheses;")
	}
	n.group = true
	return n
}

// operand reads a path, a value or a function call.
func (p *parser) operand() *node {
	switch t := p.peek(); t.kind {
	case tokenValue:
		p.at++
		return &node{op: "value", name: t.text}
	case tokenWord:
		if t.isKeyword() {
			p.unexpected()
		}
		if p.tokens[p.at+1].is("(") {
			p.at += 2
			call := &node{op: t.text, call: true, args: p.list(p.comparand)}
			p.expect(")")
			return call
		}
		return &node{op: "path", path: p.path()}
	case tokenName:
		return &node{op: "path", path: p.path()}
	}
	p.unexpected()
	return nil
}

func (p *parser) list(one func() *node) []*node {
	all := []*node{one()}
	for p.accept(",") {
		all = append(all, one())
	}
	return all
}

// path reads a document path. Its names are placeholders and words as written; the
// scope resolves them.
func (p *parser) path() path {
	result := path{p.name()}
	for {
		switch {
		case p.accept("."):
			result = append(result, p.name())
		case p.accept("["):
			if p.peek().kind != tokenInt {
				p.unexpected()
			}
			digits := p.next().text
			p.expect("]")
			index, err := strconv.ParseInt(digits, 10, 32)
			if err != nil {
				result = append(result, step{name: "[" + digits + "]"}) // refused with the words
				continue
			}
			result = append(result, step{index: int(index)})
		default:
			return result
		}
	}
}

func (p *parser) name() step {
	if t := p.peek(); t.kind != tokenName && (t.kind != tokenWord || t.isKeyword()) {
		p.unexpected()
	}
	return step{name: p.next().text}
}

// projection reads a comma-separated list of paths.
func (p *parser) projection() []*node {
	return p.list(func() *node { return &node{op: "path", path: p.path()} })
}
