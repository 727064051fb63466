package pulptest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
)

// RequestOption is a part of a request that [App.Do] sends. Of several that set the same, the last one counts; each
// [Field] and each [File] is sent.
type RequestOption func(*request)

// origin is where the requests go that have a path only.
const origin = "http://localhost"

// request is what the options make.
type request struct {
	header         http.Header
	name, password string // of the account; both empty for none
	asAdmin        bool

	body        io.Reader // nil without a body
	contentType string
	form        []formPart
	err         error // of an option
}

// formPart is a field of a form, or a file.
type formPart struct {
	name, value string
	isFile      bool
	fileName    string
}

// JSON sends a value as a JSON body.
func JSON(v any) RequestOption {
	raw, err := json.Marshal(v)
	return func(r *request) {
		if err != nil {
			r.err = err
		}
		r.body, r.contentType = bytes.NewReader(raw), "application/json"
	}
}

// Field sends a field of a form: as application/x-www-form-urlencoded, or as multipart/form-data if there is also a
// [File].
func Field(name, value string) RequestOption {
	return func(r *request) { r.form = append(r.form, formPart{name: name, value: value}) }
}

// File sends a file in the field of a form, as multipart/form-data. Files and fields are sent in the order of the
// options.
func File[T ~string | ~[]byte](field, fileName string, data T) RequestOption {
	return func(r *request) {
		r.form = append(r.form, formPart{name: field, value: string(data), isFile: true, fileName: fileName})
	}
}

// Body sends what a reader has, of a content type, which may be empty. The reader is read once: it cannot be sent in a
// second request.
func Body(contentType string, body io.Reader) RequestOption {
	return func(r *request) { r.body, r.contentType = body, contentType }
}

// Header sets a header of the request. "Host" is the host that is asked, and the one that base_url is made of; default
// "localhost".
func Header(name, value string) RequestOption {
	return func(r *request) { r.header.Set(name, value) }
}

// As sends the name and the password of an account, such as one of [App.NewUser]. A wrong password is refused only
// after half a second, as in production.
func As(name, password string) RequestOption {
	return func(r *request) { r.name, r.password, r.asAdmin = name, password, false }
}

// AsAdmin sends the request as the App's superuser, named [pulpcore.AdminName]. It is the default of [App.Do].
func AsAdmin(r *request) { r.name, r.password, r.asAdmin = "", "", true }

// AsNobody sends no credentials.
func AsNobody(r *request) { r.name, r.password, r.asAdmin = "", "", false }

// Do sends a request to the App's API or content app, as the superuser unless an option names another account, and
// returns the answer. A path begins with a slash and may have a query; the URL of another answer, such as a base_url,
// will do as well. Redirects are not followed.
//
// The request does not leave the process: it costs no port and works in a bubble of [testing/synctest]. Do reads the
// whole answer, so for streams of events ask [App.URL]. The test fails if there is no answer.
func (a *App) Do(t testing.TB, method, path string, opts ...RequestOption) *Response {
	t.Helper()
	r := &request{header: http.Header{}, asAdmin: true}
	for _, opt := range opts {
		opt(r)
	}
	req, err := r.build(t.Context(), method, path)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if r.asAdmin && req.Header.Get("Authorization") == "" {
		if err := a.auth.makeAdmin(t.Context(), a.App); err != nil {
			t.Fatalf("%s %s: make the superuser: %v", method, path, err)
		}
		req.SetBasicAuth(pulpcore.AdminName, a.auth.adminPassword)
	}
	return send(t, a.inner().client, req)
}

// build returns the request, without the superuser's credentials.
func (r *request) build(ctx context.Context, method, path string) (*http.Request, error) {
	if r.err != nil {
		return nil, r.err
	}
	if len(r.form) > 0 {
		if r.body != nil {
			return nil, errors.New("a request has either a form or another body")
		}
		if err := r.encodeForm(); err != nil {
			return nil, err
		}
	}
	target := path
	if strings.HasPrefix(path, "/") {
		target = origin + path
	}
	req, err := http.NewRequestWithContext(ctx, method, target, r.body)
	if err != nil {
		return nil, err
	}
	if req.URL.Scheme != "http" || req.URL.Host == "" {
		return nil, fmt.Errorf("%q neither begins with a slash nor with http://", path)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	// After the content type, which a header replaces.
	for name, values := range r.header {
		req.Header[name] = values
	}
	// The client sends this one from a field of its own.
	if host := r.header.Get("Host"); host != "" {
		req.Host = host
	}
	if r.name != "" || r.password != "" {
		req.SetBasicAuth(r.name, r.password)
	}
	return req, nil
}

// encodeForm makes the body of the form.
func (r *request) encodeForm() error {
	hasFile := false
	values := url.Values{}
	for _, part := range r.form {
		hasFile = hasFile || part.isFile
		values.Add(part.name, part.value)
	}
	if !hasFile {
		r.body, r.contentType = strings.NewReader(values.Encode()), "application/x-www-form-urlencoded"
		return nil
	}
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for _, part := range r.form {
		if err := part.write(w); err != nil {
			return err
		}
	}
	r.body, r.contentType = &buf, w.FormDataContentType()
	return w.Close()
}

func (p *formPart) write(w *multipart.Writer) error {
	if !p.isFile {
		return w.WriteField(p.name, p.value)
	}
	part, err := w.CreateFormFile(p.name, p.fileName)
	if err != nil {
		return err
	}
	_, err = io.WriteString(part, p.value)
	return err
}
