// Package wire reads the bodies of requests and writes answers: JSON, forms, times and errors as Pulp has them.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"
)

// maxBody bounds a request body, in bytes. Uploaded files do not count.
const maxBody = 10 << 20

// What a body within maxBody can hold. Go's values take up to 40 times the bytes that the wire needs for them.
const (
	maxParts      = 1000    // parts of a multipart body
	maxMembers    = 1000    // fields of a body
	maxFormValues = 10_000  // values of a form
	maxJSONValues = 200_000 // values of a JSON text, nested ones included; a list of PRNs of maxBody bytes has fewer
)

// Body holds the members of a request's body by name: the values of JSON as encoding/json gives them with json.Number,
// or the texts of a form. A name that a form repeats has a list.
type Body struct {
	members map[string]any
	form    bool
}

// Get returns a member, or false if the request left it out.
func (b Body) Get(name string) (any, bool) {
	v, ok := b.members[name]
	return v, ok
}

// IsForm reports whether the members are texts of a form, where a list of one has the form of a single value.
func (b Body) IsForm() bool { return b.form }

// Expect refuses every member whose name is not known.
func (b Body) Expect(known func(name string) bool, faults FieldErrors) {
	for name := range b.members {
		if !known(name) {
			faults.Add(name, MsgUnexpected)
		}
	}
}

// FileFunc takes one uploaded file while it streams in.
type FileFunc func(name string, part *multipart.Part) error

// ReadBody reads the body of a request. onFile receives uploaded files; nil refuses them.
func ReadBody(w http.ResponseWriter, r *http.Request, onFile FileFunc) (Body, error) {
	contentType := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(contentType)
	if contentType == "" {
		media, err = "application/json", nil
	}
	if err == nil {
		switch media {
		case "application/json":
			return readJSON(w, r)
		case "application/x-www-form-urlencoded":
			return readForm(w, r)
		case "multipart/form-data":
			return readMultipart(w, r, params["boundary"], onFile)
		}
	}
	// Clients send any content type with a body that is empty.
	if r.ContentLength == 0 {
		return Body{}, nil
	}
	return Body{}, Refuse(http.StatusUnsupportedMediaType,
		"Unsupported media type \""+strings.ToValidUTF8(contentType, "�")+"\" in request.")
}

func readAll(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

func readJSON(w http.ResponseWriter, r *http.Request) (Body, error) {
	raw, err := readAll(w, r)
	if err != nil {
		return Body{}, BodyFault(err, "JSON parse error - the body was cut off")
	}
	return ParseBody(raw)
}

// ParseBody reads a body of JSON.
func ParseBody(raw []byte) (Body, error) {
	// Django REST framework takes an empty body for one without members.
	if len(bytes.TrimSpace(raw)) == 0 {
		return Body{}, nil
	}
	v, err := DecodeJSON(raw, maxMembers)
	if err != nil {
		return Body{}, Refuse(http.StatusBadRequest, "JSON parse error - "+jsonFault(err))
	}
	members, ok := v.(map[string]any)
	if !ok {
		return Body{}, FieldErrors{NonField: {"Invalid data. Expected a dictionary, but got " + TypeName(v) + "."}}
	}
	return Body{members: members}, nil
}

func readForm(w http.ResponseWriter, r *http.Request) (Body, error) {
	raw, err := readAll(w, r)
	if err != nil {
		return Body{}, BodyFault(err, "The form was cut off.")
	}
	// The values are counted in the text, because decoded they take many times its memory.
	if bytes.Count(raw, []byte("&")) >= maxFormValues {
		return Body{}, Refuse(http.StatusBadRequest, fmt.Sprintf("The form has more than %d values.", maxFormValues))
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil || !utf8.Valid(raw) {
		return Body{}, Refuse(http.StatusBadRequest, "The form is malformed.")
	}
	if len(values) > maxMembers {
		return Body{}, Refuse(http.StatusBadRequest, fmt.Sprintf("The form has more than %d fields.", maxMembers))
	}
	b := Body{members: map[string]any{}, form: true}
	for name, list := range values {
		for _, text := range list {
			b.addText(name, text)
		}
	}
	return b, nil
}

// addText adds the text of a form. Lists come as repeated names.
func (b Body) addText(name, text string) {
	switch old := b.members[name].(type) {
	case nil:
		b.members[name] = text
	case []any:
		b.members[name] = append(old, text)
	default:
		b.members[name] = []any{old, text}
	}
}

func readMultipart(w http.ResponseWriter, r *http.Request, boundary string, onFile FileFunc) (Body, error) {
	if boundary == "" {
		return Body{}, Refuse(http.StatusBadRequest, "Multipart form parse error - Invalid boundary in multipart: None")
	}
	// A file goes to the store while it is read and may have any size, so only its texts are bounded, by left.
	source := io.Reader(r.Body)
	if onFile == nil {
		source = http.MaxBytesReader(w, r.Body, maxBody)
	}
	end := newEndFinder(source, boundary)
	reader := multipart.NewReader(end, boundary)
	b := Body{members: map[string]any{}, form: true}
	left := int64(maxBody)
	for range maxParts {
		part, err := reader.NextPart()
		// NextPart also returns io.EOF for a body that was cut off between two parts.
		if errors.Is(err, io.EOF) && end.found {
			return b, nil
		}
		if err != nil {
			return Body{}, BodyFault(err, "Multipart form parse error - the body is malformed or was cut off")
		}
		if part.FileName() != "" {
			if onFile == nil {
				return Body{}, FieldErrors{part.FormName(): {"Not a valid string."}}
			}
			if err := onFile(part.FormName(), part); err != nil {
				return Body{}, err
			}
			continue
		}
		// Names count as well: 1,000 parts could have a name of 10 MiB each.
		left -= int64(len(part.FormName()))
		// One byte more than is left shows that the limit is exceeded.
		raw, err := io.ReadAll(io.LimitReader(part, left+1))
		left -= int64(len(raw))
		switch {
		case err != nil:
			return Body{}, BodyFault(err, "Multipart form parse error - the body is malformed or was cut off")
		case left < 0:
			return Body{}, &http.MaxBytesError{Limit: maxBody}
		case !utf8.Valid(raw):
			return Body{}, FieldErrors{part.FormName(): {"Not a valid string."}}
		}
		b.addText(part.FormName(), string(raw))
	}
	return Body{}, Refuse(http.StatusBadRequest, "Multipart form parse error - there are too many parts")
}

// BodyFault returns the answer for an error of reading a body. text describes the errors that have no answer of their
// own; the client caused them.
func BodyFault(err error, text string) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	// webserver.Limits has set the deadline: the client was too slow, and its body may be well-formed.
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Refuse(http.StatusRequestTimeout, "The request body did not arrive in time.")
	}
	return Refuse(http.StatusBadRequest, text)
}
