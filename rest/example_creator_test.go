package rest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"mime/multipart"
	"net/http/httptest"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// A client uploads a package and gives nothing but its path: the plugin takes the filename from the path, and the
// metadata from the bytes.
func ExampleSingleArtifact() {
	type Package struct {
		models.Content
		Filename       string  `json:"filename" pulp:"natural,repo" rest:"readonly" doc:"Name of the file."`
		SHA256         string  `json:"sha256" pulp:"natural,len=64" doc:"Digest of the file."`
		RequiresPython *string `json:"requires_python" rest:"readonly" doc:"From the metadata in the file."`
	}
	packages := models.Define[Package]("deb.python")
	db, queue, store, err := open(packages)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	// The sha256 has the name of a digest on the wire, so it is set already.
	complete := func(ctx context.Context, p *Package, f *rest.File) error {
		p.Filename = f.RelativePath
		if !strings.HasSuffix(p.Filename, ".whl") {
			return pulperr.Field("filename", "%q is not a wheel", p.Filename)
		}
		r, err := f.Open(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "Requires-Python: "); ok {
				p.RequiresPython = &v
			}
		}
		return lines.Err()
	}
	api, err := rest.New(db, queue, store, &rest.Options{
		Auth: everybodyIsAdmin{},
		Views: []rest.View{rest.ViewSet[Package]{
			Type: packages, Name: "packages", Create: rest.SingleArtifact(complete),
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, path := range []string{"tiny.txt", "tiny-1.0-py3-none-any.whl"} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		_ = form.WriteField("relative_path", path)
		part, _ := form.CreateFormFile("file", "local-name")
		fmt.Fprint(part, "Name: tiny\nRequires-Python: >=3.9\n")
		_ = form.Close()
		r := httptest.NewRequest("POST", "http://localhost/pulp/api/v3/content/deb/packages/", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code == 202 {
			fmt.Println(w.Code)
			continue
		}
		fmt.Println(w.Code, w.Body)
	}
	// The task that saves the unit.
	tasks, err := worker.New(queue, &worker.Options{Bindings: rest.Tasks(), Store: store})
	if err != nil {
		log.Fatal(err)
	}
	if err := tasks.RunPending(context.Background()); err != nil {
		log.Fatal(err)
	}
	units, err := packages.List(context.Background(), db)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range units {
		fmt.Println(p.Filename, *p.RequiresPython)
	}
	// Output:
	// 400 {"filename":["\"tiny.txt\" is not a wheel"]}
	// 202
	// tiny-1.0-py3-none-any.whl >=3.9
}

// A stage turns what an upstream's index has about a package into an unsaved unit, which it then gives to a
// stages.DeclarativeContent. The rules are those of the API.
func ExampleSerializer() {
	type Package struct {
		models.Content
		Filename string `json:"filename" pulp:"natural,repo" doc:"Name of the file."`
		SHA256   string `json:"sha256" pulp:"natural,len=64" doc:"Digest of the file."`
		Kind     string `json:"kind" rest:"choices=wheel|sdist,default=wheel" doc:"What it is."`
	}
	packages := models.Define[Package]("deb.indexed")
	db, _, _, err := open(packages)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	serializer, err := rest.NewSerializer(db.Registry(), packages)
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range []any{
		map[string]any{"filename": "tiny.whl", "sha256": strings.Repeat("0", 64)},
		json.RawMessage(`{"filename": "tiny.whl", "kind": "egg", "siz": 1}`),
	} {
		p, err := serializer.Decode(context.Background(), db, entry)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(p.Filename, p.Kind)
	}
	// Output:
	// tiny.whl wheel
	// kind: "egg" is not a valid choice.; sha256: This field is required.; siz: Unexpected field
}
