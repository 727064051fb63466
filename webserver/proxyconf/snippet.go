package proxyconf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// nginxSnippet is a snippet for nginx, read as far as its blocks.
type nginxSnippet struct {
	text      string
	locations []string      // of the outermost blocks, without those that are regular expressions: "/a/", "=/a"
	passing   []*nginxBlock // that send requests to an app
}

// nginxBlock is a block in braces.
type nginxBlock struct {
	words   []string // in front of the brace
	inside  int      // index behind the brace
	passing bool
	set     map[string]bool // headers that it sets itself, in lower case
}

// readNginx reads a snippet.
func readNginx(text string) (*nginxSnippet, error) {
	s := &nginxSnippet{text: text}
	stack := []*nginxBlock{{set: map[string]bool{}}}
	var words []string
	for rest := 0; ; {
		next, err := nextToken(text, rest)
		if err != nil {
			return nil, err
		}
		rest = next.end
		block := stack[len(stack)-1]
		if !next.sign {
			words = append(words, next.text)
			continue
		}
		switch next.text {
		case "":
			if len(stack) > 1 || len(words) > 0 {
				return nil, errors.New("it ends within a block or a directive; add the closing brace or the semicolon")
			}
			return s, nil
		case ";":
			block.directive(words)
			words = nil
		case "{":
			stack = append(stack, &nginxBlock{words: words, inside: next.end, set: map[string]bool{}})
			words = nil
		case "}":
			if len(stack) == 1 || len(words) > 0 {
				return nil, errors.New("a closing brace has no block or ends a directive; add the brace or the semicolon")
			}
			stack = stack[:len(stack)-1]
			s.end(block, stack)
		}
	}
}

// directive notes what decides on the headers of requests.
func (b *nginxBlock) directive(words []string) {
	switch {
	case len(words) > 0 && words[0] == "proxy_pass":
		b.passing = true
	case len(words) > 1 && words[0] == "proxy_set_header":
		b.passing = true
		b.set[strings.ToLower(words[1])] = true
	}
}

// end notes a block that is closed; stack are those around it.
func (s *nginxSnippet) end(b *nginxBlock, stack []*nginxBlock) {
	if len(b.words) == 0 {
		return
	}
	// In other blocks, "if" for example, headers cannot be set: they have those of the location around.
	if b.words[0] != "location" {
		around := stack[len(stack)-1]
		around.passing = around.passing || b.passing
		return
	}
	if b.passing {
		s.passing = append(s.passing, b)
	}
	if len(stack) > 1 {
		return
	}
	switch args := b.words[1:]; {
	case len(args) == 1 || len(args) == 2 && args[0] == "^~":
		s.locations = append(s.locations, args[len(args)-1])
	case len(args) == 2 && args[0] == "=":
		s.locations = append(s.locations, "="+args[1])
	}
}

// with returns the snippet with the headers in every location that sends requests to an app and does not set them. A
// location of nginx that sets one header loses all those that are set around it, and a client could send them itself.
func (s *nginxSnippet) with(headers [][2]string) string {
	slices.SortFunc(s.passing, func(a, b *nginxBlock) int { return a.inside - b.inside })
	var text strings.Builder
	done := 0
	for _, b := range s.passing {
		text.WriteString(s.text[done:b.inside])
		done = b.inside
		for _, h := range headers {
			if !b.set[strings.ToLower(h[0])] {
				fmt.Fprintf(&text, "\nproxy_set_header %s %s;", h[0], h[1])
			}
		}
		text.WriteByte('\n')
	}
	return text.String() + s.text[done:]
}

// token is a word, without its quotes, or a sign: "{", "}", ";", or "" for the end of the text.
type token struct {
	text string
	sign bool
	end  int // index behind it
}

// nextToken returns the token that begins at or after an index.
func nextToken(text string, from int) (token, error) {
	i := from
	for i < len(text) && strings.IndexByte(" \t\r\n#", text[i]) >= 0 {
		if text[i] == '#' {
			line := strings.IndexByte(text[i:], '\n')
			if line < 0 {
				return token{"", true, len(text)}, nil
			}
			i += line
		}
		i++
	}
	if i == len(text) {
		return token{"", true, i}, nil
	}
	switch c := text[i]; c {
	case ';', '{', '}':
		return token{string(c), true, i + 1}, nil
	case '"', '\'':
		for j := i + 1; j < len(text); j++ {
			switch text[j] {
			case '\\':
				j++
			case c:
				return token{text[i+1 : j], false, j + 1}, nil
			}
		}
		return token{}, errors.New("a quote has no end; add it")
	}
	j := i
	for ; j < len(text) && strings.IndexByte(" \t\r\n;", text[j]) < 0; j++ {
		if text[j] == '\\' {
			j++
			continue
		}
		// ${name} is a variable, any other brace begins a block.
		if text[j] == '{' && text[j-1] != '$' {
			break
		}
	}
	j = min(j, len(text))
	return token{text[i:j], false, j}, nil
}

// snippetFault returns why a snippet cannot be taken over, or nil.
func snippetFault(server Server, text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
		return errors.New("it has a control character; write lines that end with a newline")
	}
	if server != Nginx {
		return nil
	}
	_, err := readNginx(text)
	return err
}
