package python

import (
	"bytes"
	"encoding/json"
	"strings"

	"golang.org/x/net/html"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// The media types of indexes: those of PEP 691, and that of PEP 503.
const (
	typeJSON = "application/vnd.pypi.simple.v1+json"
	typeHTML = "application/vnd.pypi.simple.v1+html"
	typeText = "text/html"
)

// File is a file on the page of a project, with the keys of PEP 691.
type File struct {
	Filename       string          `json:"filename"`
	URL            string          `json:"url"`
	Hashes         hashlib.Digests `json:"hashes"`
	RequiresPython string          `json:"requires-python,omitempty"`
	Size           int64           `json:"size,omitempty"`
	Yanked         any             `json:"yanked,omitempty"` // true, or the reason, if the file was withdrawn
}

// ParseIndex returns the files on the page of a project, with their URLs as they are written there.
//
// Errors: Invalid for a page that is malformed, or that has another content type than JSON as in PEP 691 and HTML.
func ParseIndex(contentType string, page []byte) ([]File, error) {
	switch mediaType, _, _ := strings.Cut(contentType, ";"); mediaType {
	case typeHTML, typeText:
		return parseHTML(page), nil
	case typeJSON:
		var index struct{ Files []File }
		if json.Unmarshal(page, &index) == nil {
			return index.Files, nil
		}
	}
	return nil, pulperr.Public(pulperr.Invalid, "the index is neither JSON as in PEP 691 nor HTML: %s", contentType)
}

// parseHTML returns the files that a page as in PEP 503 links to.
func parseHTML(page []byte) (files []File) {
	tokens := html.NewTokenizer(bytes.NewReader(page))
	for kind := tokens.Next(); kind != html.ErrorToken; kind = tokens.Next() {
		token, last := tokens.Token(), len(files)-1
		switch {
		case kind == html.StartTagToken && token.Data == "a":
			files = append(files, parseLink(token.Attr))
		case kind == html.TextToken && last >= 0 && files[last].Filename == "":
			files[last].Filename = strings.TrimSpace(token.Data)
		}
	}
	return files
}

func parseLink(attributes []html.Attribute) (f File) {
	for _, a := range attributes {
		switch a.Key {
		case "href":
			f.URL = a.Val
			if _, sum, ok := strings.Cut(a.Val, "#sha256="); ok {
				f.Hashes.SHA256 = sum
			}
		case "data-requires-python":
			f.RequiresPython = a.Val
		case "data-yanked":
			f.Yanked = true
		}
	}
	return f
}

// Normalize returns the name of a project as PEP 503 writes it: "Zope.Interface" is "zope-interface".
func Normalize(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("-_.", r) })
	return strings.ToLower(strings.Join(words, "-"))
}

// ParseFilename returns the normalized name of the project and the version in the name of a wheel or an sdist. The
// name of the file has no other characters than ASCII letters, digits and "._+!-".
//
// Errors: Invalid for the name of another file.
func ParseFilename(filename string) (project, version string, err error) {
	stem, wheel := strings.CutSuffix(filename, ".whl")
	if parts := strings.Split(stem, "-"); wheel && (len(parts) == 5 || len(parts) == 6) { // with a build number
		project, version = parts[0], parts[1]
	} else if stem, sdist := strings.CutSuffix(filename, ".tar.gz"); sdist {
		if i := strings.LastIndexByte(stem, '-'); i > 0 {
			project, version = stem[:i], stem[i+1:]
		}
	}
	if !isWord(project, "._-") || !isWord(version, "._+!") || !isWord(filename, "._+!-") {
		return "", "", pulperr.Field("filename", "%q is not the name of a wheel (.whl) or an sdist (.tar.gz)", filename)
	}
	return Normalize(project), strings.ReplaceAll(version, "_", "-"), nil
}

// isWord reports whether text begins with an ASCII letter or digit and has only such and signs.
func isWord(text, signs string) bool {
	const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return strings.Trim(text, alphanumeric+signs) == "" && strings.IndexAny(text, alphanumeric) == 0
}
