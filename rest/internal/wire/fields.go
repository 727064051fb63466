package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// maxFieldNames bounds the names in fields= and in exclude_fields=; no answer has so many members.
const maxFieldNames = 200

// Fields is what a client wants of an answer: the values of fields= and exclude_fields=.
type Fields struct{ only, except map[string]bool }

// ReadFields reads the parameters fields and exclude_fields of a query. It returns nil if neither names a member.
func ReadFields(query url.Values) (*Fields, error) {
	faults := FieldErrors{}
	f := &Fields{readNames(query, "fields", faults), readNames(query, "exclude_fields", faults)}
	if len(f.only) == 0 && len(f.except) == 0 {
		f = nil
	}
	return f, faults.OrNil()
}

func readNames(query url.Values, param string, faults FieldErrors) map[string]bool {
	var set map[string]bool
	n := 0
	for name := range strings.SplitSeq(strings.Join(query[param], ","), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if n++; n > maxFieldNames {
			faults.Add(param, fmt.Sprintf("At most %d names are allowed.", maxFieldNames))
			return nil
		}
		if set == nil {
			set = map[string]bool{}
		}
		set[name] = true
	}
	return set
}

// Pick returns an answer without the members that the client does not want.
func (f *Fields) Pick(answer any) (any, error) {
	// Rows of masters are objects already; a struct is written first, to get its members by their JSON names.
	o, ok := answer.(Object)
	if !ok {
		var err error
		if o, err = objectOf(answer); err != nil {
			return nil, err
		}
	}
	kept := make(Object, 0, len(o))
	for _, m := range o {
		if (len(f.only) == 0 || f.only[m.Name]) && !f.except[m.Name] {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// objectOf returns the members of a value that encoding/json writes as an object, in its order.
func objectOf(v any) (Object, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil { // the opening brace
		return nil, err
	}
	var o Object
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		// A decoded value could not be written the way it was: numbers and the order of members would change.
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		o.Set(fmt.Sprint(name), value)
	}
	return o, nil
}
