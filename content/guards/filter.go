package guards

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// A filter gets the JSON of a client, and the interpreter has no bound of its own: ". + ." forty times in a row makes a
// terabyte of one byte. These limits bound time and memory of a filter.
const (
	maxFilter = 4096 // bytes of its text
	// maxGrowth is how many parts of a filter may make a value longer. Each can double it.
	maxGrowth = 8
	// maxSteps is how many instructions a filter takes. Each can add an element to a list.
	maxSteps = 1 << 20
)

// pickers returns the functions of jq that a filter may call. None of them loops, except over the elements of its
// input.
func pickers() []string {
	return []string{
		"all", "any", "arrays", "ascii_downcase", "ascii_upcase", "booleans", "contains", "empty", "endswith", "error",
		"first", "has", "index", "inside", "keys", "last", "length", "ltrimstr", "max", "min", "not", "nulls", "numbers",
		"objects", "reverse", "rindex", "rtrimstr", "scalars", "select", "sort", "startswith", "strings", "tonumber",
		"trim", "type", "unique", "values",
	}
}

// growers returns the functions whose result may be longer than their input, by a factor of a few.
func growers() []string {
	return []string{"add", "fromjson", "from_entries", "map", "split", "to_entries", "tojson", "tostring"}
}

// compileFilter compiles a filter that reads nothing but its input, without environment, files and modules, and whose
// result cannot be much longer than its input.
func compileFilter(filter string) (*gojq.Code, error) {
	if len(filter) > maxFilter {
		return nil, fmt.Errorf("it has %d bytes, and at most %d are possible", len(filter), maxFilter)
	}
	query, err := gojq.Parse(filter)
	if err != nil {
		return nil, fmt.Errorf("it is not valid jq: %w", err)
	}
	var c filterCheck
	if c.walk(reflect.ValueOf(query)); c.fault != nil {
		return nil, c.fault
	}
	if c.growth > maxGrowth {
		return nil, fmt.Errorf("it has %d parts that make a value longer (+, commas, members of objects, \"\\(…)\", %s), "+
			"and at most %d are possible", c.growth, strings.Join(growers(), ", "), maxGrowth)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, fmt.Errorf("it is not valid jq: %w", err)
	}
	return code, nil
}

// filterCheck looks at all parts of a filter.
type filterCheck struct {
	growth int
	fault  error // the first one
}

// walk visits v, a part of the syntax tree, and all parts below it.
func (c *filterCheck) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.part(v.Interface())
			c.walk(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			c.walk(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.walk(v.Index(i))
		}
	}
}

func (c *filterCheck) refuse(what string) {
	if c.fault == nil {
		c.fault = fmt.Errorf("%s is not possible here; a filter picks a value out of its input", what)
	}
}

func (c *filterCheck) part(p any) {
	switch p := p.(type) {
	case *gojq.FuncDef:
		c.refuse("def")
	case *gojq.Reduce:
		c.refuse("reduce")
	case *gojq.Foreach:
		c.refuse("foreach")
	case *gojq.Label:
		c.refuse("label")
	case *gojq.Import:
		c.refuse("import")
	case *gojq.Query:
		c.operator(p.Op)
	case *gojq.Term:
		c.term(p)
	case *gojq.Func:
		c.call(p)
	case *gojq.String:
		c.growth += len(p.Queries)
	case *gojq.Object:
		c.growth += len(p.KeyVals)
	}
}

func (c *filterCheck) operator(op gojq.Operator) {
	switch op {
	case gojq.OpComma, gojq.OpAdd:
		c.growth++
	case 0, gojq.OpPipe, gojq.OpAlt, gojq.OpAnd, gojq.OpOr, gojq.OpSub,
		gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe:
	default:
		c.refuse("the operator " + op.String())
	}
}

func (c *filterCheck) term(t *gojq.Term) {
	switch t.Type {
	case gojq.TermTypeRecurse:
		c.refuse("..")
	case gojq.TermTypeFormat:
		switch t.Format {
		case "@base64d":
		case "@json", "@text":
			c.growth++
		default:
			c.refuse(t.Format)
		}
	}
}

func (c *filterCheck) call(f *gojq.Func) {
	isVariable := strings.HasPrefix(f.Name, "$") && f.Name != "$ENV" && f.Name != "$__loc__"
	switch {
	case isVariable, slices.Contains(pickers(), f.Name):
	case slices.Contains(growers(), f.Name) && (f.Name != "split" || len(f.Args) == 1): // split with flags takes a pattern
		c.growth++
	case f.Name == "test" && len(f.Args) == 1 && isConstant(f.Args[0]):
	case f.Name == "test":
		c.refuse("test with another argument than one text")
	default:
		c.refuse("the function " + f.Name)
	}
}

// isConstant reports whether a query is a text without \(…).
func isConstant(q *gojq.Query) bool {
	return q.Term != nil && q.Term.Type == gojq.TermTypeString && len(q.Term.Str.Queries) == 0 && q.Term.SuffixList == nil
}

// steps is a context that ends after a number of looks at it. The interpreter looks once for each instruction.
type steps struct {
	context.Context //nolint:containedctx // it is a context

	left int
}

var errSteps = errors.New("the filter takes too many steps")

// Done implements [context.Context].
func (s *steps) Done() <-chan struct{} {
	if s.left--; s.left < 0 {
		ended := make(chan struct{})
		close(ended)
		return ended
	}
	return s.Context.Done()
}

// Err implements [context.Context].
func (s *steps) Err() error {
	if s.left < 0 {
		return errSteps
	}
	return s.Context.Err()
}
