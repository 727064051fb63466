package rest

import (
	"bytes"
	"encoding/json"
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
	maxValues     = 200_000 // values of a JSON text, nested ones included; a list of PRNs of maxBody bytes has fewer
)

// body is what a request brought, whatever the content type: the values of JSON as encoding/json gives them with
// json.Number, or the texts of a form.
type body map[string]any

// fileFunc takes one uploaded file while it streams in.
type fileFunc func(name string, part *multipart.Part) error

// readBody reads the body of a request. onFile receives uploaded files; nil refuses them.
func readBody(w http.ResponseWriter, r *http.Request, onFile fileFunc) (body, error) {
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
	if r.ContentLength == 0 {
		return body{}, nil
	}
	return nil, refuse(http.StatusUnsupportedMediaType, "Unsupported media type \""+strings.ToValidUTF8(contentType, "�")+
		"\" in request.")
}

func readAll(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

func readJSON(w http.ResponseWriter, r *http.Request) (body, error) {
	raw, err := readAll(w, r)
	if err != nil {
		return nil, readFault(err, "JSON parse error - the body was cut off")
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return body{}, nil
	}
	v, err := decodeJSON(raw, maxMembers)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "JSON parse error - "+jsonFault(err))
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, FieldErrors{NonField: {"Invalid data. Expected a dictionary, but got " + typeName(v) + "."}}
	}
	return m, nil
}

var (
	errUTF8     = errors.New("the text is not UTF-8")
	errTrailing = errors.New("there is something after the value")
	errMembers  = fmt.Errorf("there are more than %d members", maxMembers)
	errValues   = fmt.Errorf("there are more than %d values", maxValues)
)

// decodeJSON reads one JSON value and nothing else, numbers as they are written. The outermost object or array may have
// so many members.
func decodeJSON(raw []byte, members int) (any, error) {
	if !utf8.Valid(raw) {
		return nil, errUTF8
	}
	switch size := measureJSON(raw); {
	case size.values > maxValues:
		return nil, errValues
	case size.members > members:
		return nil, errMembers
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	return v, nil
}

// jsonFault returns words about malformed JSON that quote none of it.
func jsonFault(err error) string {
	for _, ours := range []error{errUTF8, errTrailing, errMembers, errValues} {
		if errors.Is(err, ours) {
			return ours.Error()
		}
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return "the syntax is wrong"
	}
	return "the value is cut off or too deeply nested"
}

func readForm(w http.ResponseWriter, r *http.Request) (body, error) {
	raw, err := readAll(w, r)
	if err != nil {
		return nil, readFault(err, "The form was cut off.")
	}
	if bytes.Count(raw, []byte("&")) >= maxFormValues {
		return nil, refuse(http.StatusBadRequest, fmt.Sprintf("The form has more than %d values.", maxFormValues))
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil || !utf8.Valid(raw) {
		return nil, refuse(http.StatusBadRequest, "The form is malformed.")
	}
	if len(values) > maxMembers {
		return nil, refuse(http.StatusBadRequest, fmt.Sprintf("The form has more than %d fields.", maxMembers))
	}
	b := body{}
	for name, list := range values {
		for _, text := range list {
			b.addText(name, text)
		}
	}
	return b, nil
}

// addText adds the text of a form. Lists come as repeated names.
func (b body) addText(name, text string) {
	switch old := b[name].(type) {
	case nil:
		b[name] = text
	case []any:
		b[name] = append(old, text)
	default:
		b[name] = []any{old, text}
	}
}

func readMultipart(w http.ResponseWriter, r *http.Request, boundary string, onFile fileFunc) (body, error) {
	if boundary == "" {
		return nil, refuse(http.StatusBadRequest, "Multipart form parse error - Invalid boundary in multipart: None")
	}
	source := io.Reader(r.Body)
	if onFile == nil {
		source = http.MaxBytesReader(w, r.Body, maxBody)
	}
	reader := multipart.NewReader(source, boundary)
	b := body{}
	left := int64(maxBody)
	for range maxParts {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, readFault(err, "Multipart form parse error - the body is malformed or was cut off")
		}
		if part.FileName() != "" {
			if onFile == nil {
				return nil, FieldErrors{part.FormName(): {"Not a valid string."}}
			}
			if err := onFile(part.FormName(), part); err != nil {
				return nil, err
			}
			continue
		}
		left -= int64(len(part.FormName()))
		raw, err := io.ReadAll(io.LimitReader(part, left+1))
		left -= int64(len(raw))
		switch {
		case err != nil:
			return nil, readFault(err, "Multipart form parse error - the body is malformed or was cut off")
		case left < 0:
			return nil, &http.MaxBytesError{Limit: maxBody}
		case !utf8.Valid(raw):
			return nil, FieldErrors{part.FormName(): {"Not a valid string."}}
		}
		b.addText(part.FormName(), string(raw))
	}
	return nil, refuse(http.StatusBadRequest, "Multipart form parse error - there are too many parts")
}

// readFault keeps the errors that know their answer and gives the others, which the client caused, one.
func readFault(err error, text string) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refuse(http.StatusRequestTimeout, "The request body did not arrive in time.")
	}
	return refuse(http.StatusBadRequest, text)
}

// expect refuses members that are not among the fields.
func (b body) expect(faults FieldErrors, fields []*field, others ...string) {
	known := make(map[string]bool, len(fields)+len(others))
	for _, f := range fields {
		known[f.name] = true
	}
	for _, name := range others {
		known[name] = true
	}
	for name := range b {
		if !known[name] {
			faults.add(name, msgUnexpected)
		}
	}
}
