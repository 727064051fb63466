package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// Server is an API under test, on an empty database.
type Server struct {
	URL   string // without a slash at the end
	DB    *models.DB
	Queue *tasking.Queue
	// Run executes the tasks that wait.
	Run func(ctx context.Context) error
	// Login adds the credentials of an account to a request: of a superuser, or of an account without rights.
	Login func(r *http.Request, superuser bool)
}

// who sends a request.
type who uint8

const (
	admin who = iota
	user
	nobody
)

// ask is a request. A body with values of type []byte, which are files, goes as a form with parts.
type ask struct {
	op    string
	at    string // href of the row; "" if the path names none
	query string
	body  map[string]any
	typ   string // content type, in place of what suits the body
	from  who
	want  int
}

// got is what came back.
type got struct {
	status int
	header http.Header
	raw    []byte
	object map[string]any // nil if it is none
}

func (g *got) str(name string) string {
	s, _ := g.object[name].(string)
	return s
}

// send makes a request and returns the answer.
func (w *walk) send(t *testing.T, a ask) *got {
	t.Helper()
	o := w.ops[a.op]
	path := o.path
	if o.hasKey() {
		// The path of the document has a placeholder for the href, and the operation behind it.
		path = a.at + path[strings.LastIndex(path, "}/")+len("}/"):]
	}
	body, typ := w.encode(t, o, a)
	// A stream of events has no end: cancel ends it when send returns.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, o.method, w.URL+path+a.query, body)
	if err != nil {
		t.Fatal(err)
	}
	if typ != "" {
		req.Header.Set("Content-Type", typ)
	}
	if a.from != nobody {
		w.Login(req, a.from == admin)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", a.op, err)
	}
	defer res.Body.Close()
	g := &got{status: res.StatusCode, header: res.Header}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return g // it has no end
	}
	if g.raw, err = io.ReadAll(res.Body); err != nil {
		t.Fatalf("%s: %v", a.op, err)
	}
	if err := json.Unmarshal(g.raw, &g.object); err != nil {
		g.object = nil
	}
	return g
}

func (w *walk) encode(t *testing.T, o *operation, a ask) (io.Reader, string) {
	t.Helper()
	if a.body == nil {
		return http.NoBody, a.typ
	}
	switch {
	case a.typ == "application/x-www-form-urlencoded":
		form := url.Values{}
		for name, value := range a.body {
			form.Set(name, fmt.Sprint(value))
		}
		return strings.NewReader(form.Encode()), a.typ
	case a.typ == "multipart/form-data":
	case a.typ != "" || o.RequestBody == nil || o.takesJSON():
		raw, err := json.Marshal(a.body)
		if err != nil {
			t.Fatal(err)
		}
		if a.typ == "" {
			a.typ = "application/json"
		}
		return bytes.NewReader(raw), a.typ
	}
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	for name, value := range a.body {
		part, err := io.Writer(nil), error(nil)
		text, isFile := value.([]byte)
		if isFile {
			part, err = form.CreateFormFile(name, "x.bin")
		} else {
			text = []byte(fmt.Sprint(value))
			part, err = form.CreateFormField(name)
		}
		if err == nil {
			_, err = part.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf, form.FormDataContentType()
}
