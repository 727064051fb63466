package models

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Field describes one of a type's own or inherited fields, for code that handles all types alike.
type Field struct {
	Column  string       // in the database
	JSON    string       // on the wire; "-" if hidden
	Doc     string       // from the doc tag
	Go      reflect.Type // of the struct field
	Index   []int        // for reflect.Value.FieldByIndex
	Natural bool         // part of the natural key
	Repo    bool         // part of the key within a repository version
	Len     int          // exact length of a string; 0 is any
	Indexes []string     // names of the indexes it is part of, see [Define]
	Own     bool         // the plugin's, not the master's
	Secret  bool         // encrypted and write-only
}

var indexName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// readTag reads the words of a pulp tag, see [Define].
func (f *Field) readTag(tag string) (faults []error) {
	for word := range strings.SplitSeq(tag, ",") {
		key, value, valued := strings.Cut(word, "=")
		switch {
		case word == "":
		case word == "natural":
			f.Natural = true
		case word == "repo":
			f.Repo = true
		case word == "index":
			f.Indexes = append(f.Indexes, f.Column)
		case key == "index" && !indexName.MatchString(value):
			faults = append(faults, fmt.Errorf("pulp tag: the index name %q is not usable; "+
				"make it of a-z, 0-9 and _, beginning with a letter", value))
		case key == "index":
			f.Indexes = append(f.Indexes, value)
		case key == "len" && valued:
			n, err := strconv.Atoi(value)
			if err != nil || n <= 0 {
				faults = append(faults, fmt.Errorf("pulp tag: len=%q is not a positive number; write it as in len=64", value))
				continue
			}
			f.Len = n
		default:
			faults = append(faults, fmt.Errorf("pulp tag: unknown word %q; there are natural, repo, len=N, index and index=NAME",
				word))
		}
	}
	return faults
}

// check finds what is wrong with a field whose tags were read.
func (f *Field) check() (faults []error) {
	inKey := f.Natural || f.Repo
	if !f.Own && (inKey || f.Indexes != nil) {
		return []error{errors.New("it is the master's, and keys and indexes are of a plugin's own fields; drop the pulp tag")}
	}
	if len(f.Column) > maxIdentifier {
		faults = append(faults, fmt.Errorf("its column %s has more than %d characters; name it by a bun tag", f.Column,
			maxIdentifier))
	}
	if inKey {
		if err := f.checkKeyType(); err != nil {
			faults = append(faults, err)
		}
	}
	if f.Indexes != nil && !f.sortable() {
		faults = append(faults, fmt.Errorf("it is a %s, which no index can hold; drop the word index, or keep what is "+
			"looked for in a field of its own", f.Go))
	}
	return faults
}

// sortable reports whether an index on the column is of use on both databases.
func (f *Field) sortable() bool {
	t := f.Go
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	default:
		return t == reflect.TypeFor[uuid.UUID]() || t == reflect.TypeFor[time.Time]()
	}
}

// checkKeyType refuses columns that come back from the database with another value than was written, or whose values
// are not equal to themselves. They cannot identify anything.
func (f *Field) checkKeyType() error {
	t := f.Go
	if t.Kind() == reflect.Pointer && !f.Natural {
		t = t.Elem() // a place may be open
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Pointer:
		return fmt.Errorf("a natural key field cannot be a pointer; make it a %s", t.Elem())
	default:
		if t == reflect.TypeFor[uuid.UUID]() {
			return nil
		}
	}
	return fmt.Errorf("a key field cannot be a %s, only a string, an integer, a bool or a uuid.UUID; "+
		"write times and fractions as text of one form", t)
}
