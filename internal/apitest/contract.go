// Package apitest compares the answers of an API with its OpenAPI document: [Walk] makes requests of every
// operation of the document and checks the answers, also to requests that must be refused.
package apitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// operation is an operation of the document, with the answers that were seen.
type operation struct {
	*openapi3.Operation

	method, path string
	statuses     map[string]bool // as the document writes them
	accepted     map[string]bool // members of bodies that were not refused
}

// operations returns the operations of a document by their ids.
func operations(doc *openapi3.T) map[string]*operation {
	list := map[string]*operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			list[op.OperationID] = &operation{op, method, path, map[string]bool{}, map[string]bool{}}
		}
	}
	return list
}

// hasKey reports whether the path names a row.
func (o *operation) hasKey() bool { return strings.Contains(o.path, "{") }

// body returns the schema of the request's body, which is the same for all content types; nil is none.
func (o *operation) body() *openapi3.Schema {
	if o.RequestBody == nil {
		return nil
	}
	for _, media := range o.RequestBody.Value.Content {
		return media.Schema.Value
	}
	return nil
}

// takesJSON reports whether the body may be JSON.
func (o *operation) takesJSON() bool { return o.RequestBody.Value.Content["application/json"] != nil }

// finish fails for what the document declares and no request has shown.
func (o *operation) finish(t *testing.T) {
	t.Helper()
	if len(o.statuses) == 0 {
		t.Errorf("%s: there is no case for this operation: add one to apitest", o.OperationID)
		return
	}
	for status := range o.Responses.Map() {
		// No request of a walk can make a server fail.
		if status != "5XX" && !o.statuses[status] {
			t.Errorf("%s: no answer was %s", o.OperationID, status)
		}
	}
	if schema := o.body(); schema != nil {
		for name := range schema.Properties {
			if !o.accepted[name] {
				t.Errorf("%s: the declared member %q of the body was never accepted", o.OperationID, name)
			}
		}
	}
}

// check returns how an answer differs from the document. With sparse, members may be missing.
func (o *operation) check(status int, header http.Header, body []byte, sparse bool) (faults []string) {
	declared := strconv.Itoa(status)
	response := o.Responses.Value(declared)
	if response == nil {
		declared = declared[:1] + "XX"
		response = o.Responses.Value(declared)
	}
	if response == nil {
		declared = "default"
		response = o.Responses.Default()
	}
	if response == nil {
		return []string{fmt.Sprintf("the status %d is not declared", status)}
	}
	o.statuses[declared] = true
	if len(response.Value.Content) == 0 {
		if len(body) > 0 {
			return []string{fmt.Sprintf("a body that is not declared: %.200s", body)}
		}
		return nil
	}
	if response.Value.Content["*/*"] != nil {
		return nil // the handler of a plugin answers what it likes
	}
	got := header.Get("Content-Type")
	media := response.Value.Content[got]
	if base, _, err := mime.ParseMediaType(got); media == nil && err == nil && base == "text/event-stream" {
		return nil
	}
	if media == nil {
		return []string{fmt.Sprintf("the content type %q is not declared", got)}
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return []string{fmt.Sprintf("the answer is no JSON: %v", err)}
	}
	schema := media.Schema.Value
	err := schema.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.MultiErrors(), openapi3.EnableFormatValidation())
	for _, fault := range flat(err) {
		// A client that asks for some fields gets no others, though the schema requires them.
		if se, ok := errors.AsType[*openapi3.SchemaError](fault); !ok || !sparse || se.SchemaField != "required" {
			faults = append(faults, firstLine(fault))
		}
	}
	return append(faults, members(schema, value, "answer", sparse || status >= http.StatusBadRequest)...)
}

// flat returns the errors that a validation has collected.
func flat(err error) []error {
	if err == nil {
		return nil
	}
	if list, ok := err.(openapi3.MultiError); ok { //nolint:errorlint // its own, not wrapped
		var all []error
		for _, e := range list {
			all = append(all, flat(e)...)
		}
		return all
	}
	return []error{err}
}

// firstLine leaves the schema and the value out, which follow.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// members returns the members of objects that the schema does not declare and, unless sparse, the declared ones that
// are missing.
func members(s *openapi3.Schema, value any, at string, sparse bool) (faults []string) {
	switch v := value.(type) {
	case map[string]any:
		// A schema without additionalProperties and required lets both pass a validator.
		free, anything := s.AdditionalProperties.Schema, s.AdditionalProperties.Has
		open := s.OneOf != nil || s.Type == nil || anything != nil && *anything
		for _, name := range slices.Sorted(maps.Keys(v)) {
			switch p := s.Properties[name]; {
			case p != nil:
				faults = append(faults, members(p.Value, v[name], at+"."+name, sparse)...)
			case free != nil:
				faults = append(faults, members(free.Value, v[name], at+"."+name, sparse)...)
			case !open:
				faults = append(faults, at+"."+name+" is not declared")
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			if _, ok := v[name]; !ok && !sparse {
				faults = append(faults, at+"."+name+" is declared and missing")
			}
		}
	case []any:
		for i, item := range v {
			if s.Items != nil {
				faults = append(faults, members(s.Items.Value, item, fmt.Sprintf("%s[%d]", at, i), sparse)...)
			}
		}
	case string:
		if s.Format == "uri" && !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "http") {
			faults = append(faults, fmt.Sprintf("%s: %q is no URI", at, v))
		}
	}
	return faults
}

// checkBody returns how an accepted body differs from the document.
func (o *operation) checkBody(body map[string]any) (faults []string) {
	schema := o.body()
	if schema == nil {
		return []string{"a body was accepted that is not declared"}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return []string{err.Error()}
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return []string{err.Error()}
	}
	for _, fault := range flat(schema.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.MultiErrors())) {
		faults = append(faults, "the accepted body is not valid: "+firstLine(fault))
	}
	return faults
}
