package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Limits of an expression. The complexity is the number of comparisons and operators, as Pulp counts it.
const (
	maxComplexity = 8
	maxNesting    = 50 // parentheses; each of them is a call of the parser
)

// syntaxFault is the answer for an expression that cannot be read.
func syntaxFault() error { return wire.FieldErrors{"q": {"Syntax error in expression."}} }

// node is a part of an expression: a comparison, or an operator with its operands.
type node struct {
	op    string // "AND", "OR", "NOT"; "" for a comparison
	parts []*node
	name  string // of the parameter
	value string
}

// parser reads expressions such as NOT (name="x" OR name__in="y,z") AND pulp_label_select="a". NOT binds tighter than
// AND, and AND tighter than OR.
type parser struct {
	rest       string
	complexity int
	depth      int
}

// parseExpression reads an expression.
func parseExpression(text string) (*node, error) {
	p := &parser{rest: text}
	n, err := p.either()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.rest != "" {
		return nil, syntaxFault()
	}
	return n, nil
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// count notes one more comparison or operator.
func (p *parser) count() error {
	if p.complexity++; p.complexity > maxComplexity {
		return wire.FieldErrors{"q": {fmt.Sprintf(
			"The expression is too complex: at most %d comparisons and operators are allowed.", maxComplexity)}}
	}
	return nil
}

// either reads operands with OR between them.
func (p *parser) either() (*node, error) { return p.chain("OR", p.both) }

// both reads operands with AND between them.
func (p *parser) both() (*node, error) { return p.chain("AND", p.one) }

func (p *parser) chain(op string, operand func() (*node, error)) (*node, error) {
	first, err := operand()
	if err != nil || !p.keyword(op) {
		return first, err
	}
	n := &node{op: op, parts: []*node{first}}
	if err := p.count(); err != nil {
		return nil, err
	}
	for {
		next, err := operand()
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, next)
		if !p.keyword(op) {
			return n, nil
		}
	}
}

// one reads a comparison, an operand in parentheses, or NOT before one of the two.
func (p *parser) one() (*node, error) {
	if p.keyword("NOT") {
		if err := p.count(); err != nil {
			return nil, err
		}
		n, err := p.one()
		return &node{op: "NOT", parts: []*node{n}}, err
	}
	p.space()
	if !strings.HasPrefix(p.rest, "(") {
		return p.comparison()
	}
	if p.depth++; p.depth > maxNesting {
		return nil, syntaxFault()
	}
	p.rest = p.rest[1:]
	n, err := p.either()
	if err != nil {
		return nil, err
	}
	p.space()
	var ok bool
	if p.rest, ok = strings.CutPrefix(p.rest, ")"); !ok {
		return nil, syntaxFault()
	}
	p.depth--
	return n, nil
}

// keyword takes an operator, in any case, if it comes next. The name of a parameter may begin with its letters.
func (p *parser) keyword(word string) bool {
	p.space()
	if len(p.rest) < len(word) || !strings.EqualFold(p.rest[:len(word)], word) {
		return false
	}
	after := p.rest[len(word):]
	if after == "" || !strings.ContainsAny(after[:1], " \t\r\n(\"") {
		return false
	}
	p.rest = after
	return true
}

// comparison reads name=value.
func (p *parser) comparison() (*node, error) {
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if end <= 0 {
		return nil, syntaxFault()
	}
	n := &node{name: p.rest[:end]}
	p.rest = p.rest[end:]
	p.space()
	var ok bool
	if p.rest, ok = strings.CutPrefix(p.rest, "="); !ok {
		return nil, syntaxFault()
	}
	p.space()
	if n.value, ok = p.text(); !ok {
		return nil, syntaxFault()
	}
	return n, p.count()
}

// text reads a value: a text in quotes, in which a backslash makes the next character stand for itself, or all up to a
// space or a parenthesis.
func (p *parser) text() (string, bool) {
	if p.rest == "" {
		return "", false
	}
	quote := p.rest[0]
	if quote != '"' && quote != '\'' {
		end := strings.IndexAny(p.rest, " \t\r\n()\"'")
		if end < 0 {
			end = len(p.rest)
		}
		text := p.rest[:end]
		p.rest = p.rest[end:]
		return text, text != ""
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.rest = p.rest[i+1:]
			return b.String(), true
		// Other backslashes belong to the value: a label is selected with \, in it.
		case c == '\\' && i+1 < len(p.rest) && (p.rest[i+1] == quote || p.rest[i+1] == '\\'):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// expression returns the condition of an expression.
//
// Errors: [wire.FieldErrors] for q; a list for a link that is wrong.
func (s *Source) expression(ctx context.Context, db *models.DB, text string) ([]models.Cond, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxValue {
		return nil, wire.FieldErrors{"q": {tooLong(len(text))}}
	}
	n, err := parseExpression(text)
	if err != nil {
		return nil, err
	}
	c, err := s.evaluate(ctx, db, n)
	if fe, ok := errors.AsType[wire.FieldErrors](err); ok {
		reasons := wire.FieldErrors{}
		// The client sent one parameter, so all faults are of that.
		for _, list := range fe {
			reasons.Add("q", list...)
		}
		return nil, reasons
	}
	if err != nil {
		return nil, err
	}
	return []models.Cond{c}, nil
}

// evaluate returns the condition of a node. Rows for which the database cannot tell, because of a null, do not fulfil
// it; so they fulfil its NOT.
func (s *Source) evaluate(ctx context.Context, db *models.DB, n *node) (models.Cond, error) {
	if n.op == "" {
		i := slices.IndexFunc(s.Params, func(p *Param) bool { return p.Name == n.name })
		if i < 0 {
			return models.Cond{}, wire.FieldErrors{"q": {"Filter '" + wire.Shorten(n.name) + "' does not exist."}}
		}
		conds, err := s.Params[i].conds(ctx, db, n.value)
		return join("AND", conds), err
	}
	parts := make([]models.Cond, len(n.parts))
	for i, part := range n.parts {
		var err error
		if parts[i], err = s.evaluate(ctx, db, part); err != nil {
			return models.Cond{}, err
		}
	}
	if n.op == "NOT" {
		return models.Where("(?) IS NOT TRUE", sqlOf(parts[0])), nil
	}
	return join(n.op, parts), nil
}

// join returns the condition that all of some conditions hold, or one of them.
func join(op string, conds []models.Cond) models.Cond {
	// A parameter with an empty value has no conditions.
	if len(conds) == 0 {
		return models.Where("TRUE")
	}
	args := make([]any, len(conds))
	for i, c := range conds {
		args[i] = sqlOf(c)
	}
	return models.Where("(?)"+strings.Repeat(" "+op+" (?)", len(conds)-1), args...)
}

// sqlOf returns a condition as an argument of another one. Each has placeholders of its own.
func sqlOf(c models.Cond) any {
	expr, args := c.SQL()
	// A condition of a plugin that only orders or limits has no expression.
	if expr == "" {
		return bun.Safe("TRUE")
	}
	if len(args) == 0 {
		return bun.Safe(expr)
	}
	return bun.SafeQuery(expr, args...)
}
