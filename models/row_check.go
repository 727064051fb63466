package models

import (
	"io/fs"
	"net/url"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/pulpgo/pulpcore/pulperr"
)

// setDefaults fills in the values that a column needs and a literal leaves out.
func setDefaults(row Row) error {
	switch r := row.(type) {
	case AnyContent:
		setLabels(&r.AsContent().Labels)
	case AnyRepository:
		c := r.AsRepository()
		setLabels(&c.Labels)
		if c.RetainRepoVersions != nil && *c.RetainRepoVersions < 1 {
			return pulperr.Field("retain_repo_versions", "Ensure this value is greater than or equal to 1.")
		}
		if c.RetainCheckpoints != nil && *c.RetainCheckpoints < 1 {
			return pulperr.Field("retain_checkpoints", "Ensure this value is greater than or equal to 1.")
		}
	case AnyRemote:
		return r.AsRemote().check()
	case AnyDistribution:
		d := r.AsDistribution()
		setLabels(&d.Labels)
		return d.check()
	}
	return nil
}

func setLabels(l *Labels) {
	if *l == nil {
		*l = Labels{}
	}
}

// check fills in defaults and validates what holds for every remote.
func (r *Remote) check() error {
	setLabels(&r.Labels)
	if r.TLSValidation == nil {
		r.TLSValidation = new(true)
	}
	switch r.Policy {
	case "":
		r.Policy = Immediate
	case Immediate, OnDemand, Streamed:
	default:
		return pulperr.Field("policy", "%q is not a valid choice.", string(r.Policy))
	}
	// The URL is not encrypted and is shown to all readers of the remote.
	if hasUserinfo(r.URL) {
		return pulperr.Field("url", "The remote url contains username or password. Use the username and password fields.")
	}
	return nil
}

// check validates what holds for every distribution.
func (d *Distribution) check() error {
	if !ValidPath(d.BasePath) {
		return pulperr.Field("base_path", "Relative path is not in canonical form. %s", d.BasePath)
	}
	sources := 0
	for _, set := range []bool{d.PublicationID != nil, d.RepositoryID != nil, d.RepositoryVersionID != nil} {
		if set {
			sources++
		}
	}
	if sources > 1 {
		return pulperr.Field("",
			"Only one of the attributes 'repository', 'repository_version' and 'publication' may be used.")
	}
	return nil
}

// maxKey is the longest text that a column of a key takes, in bytes: Postgres cannot index much more than 2,700.
const maxKey = 2000

// checkTexts validates all text of a row: no NUL byte, valid UTF-8, the exact length that a tag asks for, and keys
// that an index can hold.
func (s *schema) checkTexts(row Row) error {
	v := reflect.ValueOf(row).Elem()
	for _, f := range s.fields {
		fv := v.FieldByIndex(f.Index)
		if fv.Kind() == reflect.Pointer && !fv.IsNil() {
			fv = fv.Elem()
		}
		if fv.Kind() != reflect.String {
			continue
		}
		text := fv.String()
		// Postgres refuses NUL and invalid UTF-8 with an error that does not name the field.
		switch {
		case HasNUL(text):
			return pulperr.Field(f.JSON, "Null characters are not allowed.")
		case !utf8.ValidString(text):
			return pulperr.Field(f.JSON, "The text is not valid UTF-8.")
		case f.Len > 0 && len(text) != f.Len:
			return pulperr.Field(f.JSON, "Ensure this field has exactly %d characters.", f.Len)
		case (f.Natural || f.Repo || f.Indexes != nil) && len(text) > maxKey:
			return pulperr.Field(f.JSON, "Ensure this field has no more than %d characters.", maxKey)
		case f.Column == "name" && utf8.RuneCountInString(text) > maxName:
			return pulperr.Field(f.JSON, "Ensure this field has no more than %d characters.", maxName)
		case f.Column == "name" && text == "":
			return pulperr.Field(f.JSON, "This field may not be blank.")
		}
	}
	return s.checkKeys(v)
}

// CheckTexts checks the texts of a row, as [Create] and [Update] do before they save it: their length in keys and
// indexes, the exact length that a tag asks for, and that they are UTF-8 without NUL. It reads no rows. A caller that
// saves the row in a task calls it first, so that its client gets the error at once and not from a failed task.
//
// Errors: Unsupported if no plugin lists the type of the row; [pulperr.ValidationError] for the first text that is
// refused.
func (r *Registry) CheckTexts(row Row) error {
	s, err := r.of(row)
	if err != nil {
		return err
	}
	return s.checkTexts(row)
}

// maxName is the longest name of a repository, remote, distribution or guard, in characters.
const maxName = 255

// checkKeys makes sure that an index can hold the unit's keys.
func (s *schema) checkKeys(v reflect.Value) error {
	keys := [][]Field{s.natural, s.repo}
	for _, n := range s.named {
		keys = append(keys, n.fields)
	}
	for _, key := range keys {
		sum := 0
		names := make([]string, 0, len(key))
		for _, f := range key {
			fv := v.FieldByIndex(f.Index)
			if fv.Kind() == reflect.Pointer && !fv.IsNil() {
				fv = fv.Elem()
			}
			if names = append(names, f.JSON); fv.Kind() == reflect.String {
				sum += fv.Len()
			} else {
				// A UUID is the longest of the other types of a key.
				sum += 16
			}
		}
		if sum > maxKeySum {
			return pulperr.Field(names[0], "Ensure that %s together have no more than %d bytes, they have %d.",
				strings.Join(names, ", "), maxKeySum, sum)
		}
	}
	return nil
}

// HasNUL reports whether text contains a NUL byte, which Postgres cannot store.
func HasNUL(text string) bool { return strings.IndexByte(text, 0) >= 0 }

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
