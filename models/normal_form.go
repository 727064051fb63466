package models

import (
	"strings"
	"unicode"
)

// separator is between the statements of a migration: a line of its own, which is a comment for the database.
const separator = "\n--;;\n"

// statements returns the statements of a script, without comments that stand alone.
func statements(script string) []string {
	var list []string
	for stmt := range strings.SplitSeq("\n"+script+"\n", separator) {
		if normalForm(stmt) != "" {
			list = append(list, strings.TrimSpace(stmt))
		}
	}
	return list
}

// normalForm returns a statement without what has no meaning: comments, blanks beside signs, letter case outside of
// quotes, quotes around names that need none, and the semicolon at its end. Checksums are made of it, so that a
// migration may be laid out anew after it was applied.
func normalForm(stmt string) string {
	var out []string
	for rest := stmt; rest != ""; {
		n := tokenLen(rest)
		token := rest[:n]
		rest = rest[n:]
		switch {
		case strings.TrimSpace(token) == "", strings.HasPrefix(token, "--"), strings.HasPrefix(token, "/*"):
			continue
		case token[0] == '"' && plainName(strings.Trim(token, `"`)):
			token = strings.Trim(token, `"`)
		case token[0] != '\'' && token[0] != '"' && token[0] != '$':
			token = strings.ToLower(token)
		}
		out = append(out, token)
	}
	return strings.TrimSuffix(strings.Join(out, " "), " ;")
}

// tokenLen returns the length of the word, quoted text, comment, blanks or sign that a text begins with. A quote or
// comment that is not closed lasts to the end.
func tokenLen(s string) int {
	until := func(from int, end string) int {
		if i := strings.Index(s[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(s)
	}
	switch {
	case strings.HasPrefix(s, "--"):
		return until(2, "\n")
	case strings.HasPrefix(s, "/*"):
		return until(2, "*/")
	case s[0] == '\'' || s[0] == '"': // a doubled quote begins another text, which makes no difference
		return until(1, s[:1])
	case s[0] == '$':
		// The body of a function on Postgres: its blanks and letter case have a meaning.
		if i := strings.Index(s[1:], "$"); i >= 0 && (i == 0 || plainName(strings.ToLower(s[1:i+1]))) {
			return until(i+2, s[:i+2])
		}
	}
	inWord := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	// A rune has at most four bytes. To convert all of the text for each token would take quadratic time.
	first := []rune(s[:min(len(s), 4)])[0]
	for i, r := range s {
		blank := unicode.IsSpace(first) && unicode.IsSpace(r)
		if word := inWord(first) && inWord(r); i > 0 && !word && !blank {
			return i
		}
	}
	return len(s)
}

// plainName reports whether a name means the same with quotes and without.
func plainName(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
