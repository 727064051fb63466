package nettest

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// Uploads is a handler that parses forms into temporary files and does not remove them, as handlers need not.
type Uploads struct {
	t   testing.TB
	dir string
}

// NewUploads returns a handler for this test, which must not run in parallel with others.
func NewUploads(t *testing.T) *Uploads {
	t.Helper()
	u := &Uploads{t, t.TempDir()}
	// Forms use the folder of TMPDIR, so all files there are of this test. Setenv fails in a parallel test.
	t.Setenv("TMPDIR", u.dir)
	return u
}

// Files returns the names of the temporary files of forms.
func (u *Uploads) Files() []string {
	u.t.Helper()
	names, err := filepath.Glob(filepath.Join(u.dir, "multipart-*"))
	if err != nil {
		u.t.Fatal(err)
	}
	return names
}

// ServeHTTP parses a form with one file.
func (u *Uploads) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	// With 0 bytes of memory even a small file becomes a temporary file.
	if err := r.ParseMultipartForm(0); err != nil || len(u.Files()) != 1 {
		u.t.Errorf("ParseMultipartForm = %v with the files %q, want one", err, u.Files())
	}
}

// Request returns a request with a file.
func (u *Uploads) Request(url string) *http.Request {
	u.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "a.bin")
	if err == nil {
		_, err = io.WriteString(part, "bytes of a file")
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		u.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, url, &body)
	r.RequestURI = "" // a client must not set it
	r.Header.Set("Content-Type", form.FormDataContentType())
	return r
}

// Check sends a file to a path of a server for h, which answers with the status, and fails if a file is left.
func (u *Uploads) Check(h http.Handler, path string, status int) {
	u.t.Helper()
	srv := httptest.NewServer(h)
	res, err := srv.Client().Do(u.Request(srv.URL + path))
	if err != nil || res.StatusCode != status {
		u.t.Errorf("POST %s = %+v, %v, want %d", path, res, err, status)
	}
	if err == nil {
		_ = res.Body.Close()
	}
	srv.Close() // waits for the handler
	if names := u.Files(); len(names) > 0 {
		u.t.Errorf("POST %s: files are left: %q", path, names)
	}
}
