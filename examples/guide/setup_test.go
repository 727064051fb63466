package guide_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/settings"
)

// host is an App in a temporary folder.
type host struct {
	*pulpcore.App
	dir string
}

// open opens an App with a plugin, whose every client is the superuser. Settings are given as pairs of key and value.
func open(plugin *pulpcore.Plugin, pairs ...any) *host {
	return openWith(&pulpcore.Options{Authenticator: everybodyIsAdmin{}}, plugin, pairs...)
}

// openWith is open with other options.
func openWith(options *pulpcore.Options, plugin *pulpcore.Plugin, pairs ...any) *host {
	dir, err := os.MkdirTemp("", "guide-")
	if err != nil {
		log.Fatal(err)
	}
	opts := []settings.Option{settings.Value("DEPLOY_ROOT", dir)}
	for i := 0; i < len(pairs); i += 2 {
		opts = append(opts, settings.Value(fmt.Sprint(pairs[i]), pairs[i+1]))
	}
	set, err := settings.Load(opts...)
	if err != nil {
		log.Fatal(err)
	}
	options.IgnoreSubprocess, options.Log = true, slog.New(slog.DiscardHandler)
	app, err := pulpcore.OpenWith(context.Background(), set, options, plugin)
	if err != nil {
		log.Fatal(err)
	}
	return &host{app, dir}
}

func (h *host) close() {
	if err := h.Close(); err != nil {
		log.Print(err)
	}
	_ = os.RemoveAll(h.dir)
}

// send sends a request with a JSON body, executes the tasks that are waiting, and returns the answer.
func (h *host) send(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, r)
	h.run()
	return w
}

// upload sends a file as the field "file" of a form, and executes the tasks that are waiting.
func (h *host) upload(path, text string) *httptest.ResponseRecorder {
	var body strings.Builder
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "notes.txt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(part, text)
	if err := form.Close(); err != nil {
		log.Fatal(err)
	}
	return h.send("POST", path, body.String(), "Content-Type", form.FormDataContentType())
}

// run executes the tasks that are waiting.
func (h *host) run() {
	w, err := h.Worker(1)
	if err != nil {
		log.Fatal(err)
	}
	if err := w.RunPending(context.Background()); err != nil {
		log.Fatal(err)
	}
}

type everybodyIsAdmin struct{}

func (everybodyIsAdmin) Authenticate(*http.Request) (*accounts.User, error) {
	return &accounts.User{ID: 1, Username: "admin", IsActive: true, IsSuperuser: true}, nil
}

// field returns the value of a string member of a JSON answer.
func field(w *httptest.ResponseRecorder, name string) string {
	_, rest, _ := strings.Cut(w.Body.String(), `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
