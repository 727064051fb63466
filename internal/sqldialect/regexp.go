package sqldialect

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode"

	"modernc.org/sqlite"
)

// Regexp is a regular expression that both databases take, in the syntax of package regexp. Postgres gets it in the
// words of its own syntax. Letters match without regard to case by Unicode's simple folding, whatever the locale of the
// database is: LOWER of SQLite, and of Postgres with the locale C, folds ASCII only.
type Regexp struct{ tree *syntax.Regexp }

// Limits of a Regexp. Compiled it has as many states on Postgres, where each costs memory and time.
const (
	maxStates  = 2000
	maxRepeats = 255 // of Postgres
)

var errTooLarge = errors.New("the regular expression is too large")

// ParseRegexp reads a regular expression. fold ignores case.
func ParseRegexp(pattern string, fold bool) (*Regexp, error) {
	flags := syntax.Perl
	if fold {
		flags |= syntax.FoldCase
	}
	tree, err := syntax.Parse(pattern, flags)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if len(prog.Inst) > maxStates {
		return nil, errTooLarge
	}
	// Found here, so that a pattern is refused or taken by both databases alike.
	if err := (&postgresPattern{}).write(tree); err != nil {
		return nil, err
	}
	return &Regexp{tree}, nil
}

// FoldedText matches a text without regard to case, as a whole or where it begins or occurs.
func FoldedText(text string, atStart, atEnd bool) (*Regexp, error) {
	pattern := regexp.QuoteMeta(text)
	if atStart {
		pattern = `\A` + pattern
	}
	if atEnd {
		pattern += `\z`
	}
	return ParseRegexp(pattern, true)
}

// Matches returns the operator between an expression and a Regexp, and the text of it.
func (k Kind) Matches(r *Regexp) (operator, pattern string) {
	if k == SQLite {
		return "REGEXP", r.tree.String()
	}
	p := &postgresPattern{}
	_ = p.write(r.tree) // ParseRegexp has tried it
	return "~", p.b.String()
}

// postgresPattern is a regular expression in Postgres' syntax while it is written.
type postgresPattern struct{ b strings.Builder }

// write writes one node of the tree.
func (p *postgresPattern) write(re *syntax.Regexp) error {
	switch re.Op {
	case syntax.OpNoMatch:
		p.b.WriteString("(?!)")
	case syntax.OpEmptyMatch:
		p.b.WriteString("(?:)")
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			p.literal(r, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		p.class(re.Rune)
	case syntax.OpAnyCharNotNL:
		p.b.WriteString(`[^\n]`)
	case syntax.OpAnyChar:
		p.b.WriteString(".")
	case syntax.OpBeginText:
		p.b.WriteString(`\A`)
	case syntax.OpEndText:
		p.b.WriteString(`\Z`)
	case syntax.OpWordBoundary:
		p.b.WriteString(`\y`)
	case syntax.OpNoWordBoundary:
		p.b.WriteString(`\Y`)
	case syntax.OpCapture:
		return p.group(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return p.repeat(re)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if err := p.group(sub); err != nil {
				return err
			}
		}
	case syntax.OpAlternate:
		for i, sub := range re.Sub {
			if i > 0 {
				p.b.WriteString("|")
			}
			if err := p.group(sub); err != nil {
				return err
			}
		}
	default:
		return errors.New("the flag (?m) is not supported")
	}
	return nil
}

// group writes a node so that what surrounds it has no effect within it.
func (p *postgresPattern) group(re *syntax.Regexp) error {
	p.b.WriteString("(?:")
	err := p.write(re)
	p.b.WriteString(")")
	return err
}

func (p *postgresPattern) repeat(re *syntax.Regexp) error {
	if re.Min > maxRepeats || re.Max > maxRepeats {
		return errTooLarge
	}
	if err := p.group(re.Sub[0]); err != nil {
		return err
	}
	switch re.Op {
	case syntax.OpStar:
		p.b.WriteString("*")
	case syntax.OpPlus:
		p.b.WriteString("+")
	case syntax.OpQuest:
		p.b.WriteString("?")
	default:
		fmt.Fprintf(&p.b, "{%d,", re.Min)
		if re.Max >= 0 {
			fmt.Fprintf(&p.b, "%d", re.Max)
		}
		p.b.WriteString("}")
	}
	return nil
}

// literal writes a character, with fold as a class of all its cases.
func (p *postgresPattern) literal(r rune, fold bool) {
	if !fold || unicode.SimpleFold(r) == r {
		p.rune(r)
		return
	}
	p.b.WriteString("[")
	p.rune(r)
	for c := unicode.SimpleFold(r); c != r; c = unicode.SimpleFold(c) {
		p.rune(c)
	}
	p.b.WriteString("]")
}

// class writes pairs of first and last characters.
func (p *postgresPattern) class(pairs []rune) {
	switch n := len(pairs); {
	case n == 0:
		p.b.WriteString("(?!)")
		return
	case n == 2 && pairs[0] == 0 && pairs[1] == unicode.MaxRune:
		p.b.WriteString(".")
		return
	// Postgres has no character 0, with which the complement of a class begins.
	case pairs[0] == 0 && pairs[n-1] == unicode.MaxRune:
		p.b.WriteString("[^")
		for i := 1; i < n-1; i += 2 {
			p.span(pairs[i]+1, pairs[i+1]-1)
		}
	default:
		p.b.WriteString("[")
		for i := 0; i < n; i += 2 {
			p.span(max(pairs[i], 1), pairs[i+1])
		}
	}
	p.b.WriteString("]")
}

func (p *postgresPattern) span(first, last rune) {
	p.rune(first)
	if last > first {
		p.b.WriteString("-")
		p.rune(last)
	}
}

// rune writes a character that stands for itself, within a class or without.
func (p *postgresPattern) rune(r rune) {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		p.b.WriteRune(r)
	case r > 0xFFFF:
		fmt.Fprintf(&p.b, `\U%08X`, r)
	default:
		fmt.Fprintf(&p.b, `\u%04X`, r)
	}
}

// newSQLiteDriver returns a driver of its own for each Conn, because the functions of the package's driver belong to
// the whole process.
func newSQLiteDriver() (*sqlite.Driver, error) {
	d := &sqlite.Driver{}
	cache := &patternCache{}
	// SQLite has the operator REGEXP and calls this function for it, with the pattern first.
	err := d.RegisterDeterministicScalarFunction("regexp", 2, func(
		_ *sqlite.FunctionContext, args []driver.Value,
	) (driver.Value, error) {
		pattern, ok := args[0].(string)
		var text string
		switch v := args[1].(type) {
		case nil:
			return nil, nil // as in Postgres, a null matches neither a pattern nor its contrary
		case string:
			text = v
		case []byte:
			text = string(v)
		default:
			text = fmt.Sprint(v)
		}
		if !ok {
			return nil, errors.New("the pattern is not a text")
		}
		re, err := cache.compile(pattern)
		if err != nil {
			return nil, err
		}
		return re.MatchString(text), nil
	})
	return d, err
}

// patternCache keeps the pattern that was used last, because a statement calls the function once for each row. It is
// safe for concurrent use.
type patternCache struct {
	mu   sync.Mutex
	text string
	last *regexp.Regexp
}

func (c *patternCache) compile(pattern string) (*regexp.Regexp, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.text == pattern {
		return c.last, nil
	}
	re, err := regexp.Compile(pattern)
	if err == nil {
		c.text, c.last = pattern, re
	}
	return re, err
}
