package models

import (
	"io/fs"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxPath is the longest relative path, in bytes.
const maxPath = 2000

// ValidPath reports whether p can be the path of a file within a unit, a publication or a distribution: relative,
// canonical (no empty, "." or ".." segment, no slash at either end), valid UTF-8 without control characters, at most
// 2,000 bytes. Spaces, question marks and letters of any script are fine.
func ValidPath(p string) bool {
	if p == "" || p == "." || len(p) > maxPath || !fs.ValidPath(p) || !utf8.ValidString(p) {
		return false
	}
	return !strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func hasUserinfo(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.User != nil
}
