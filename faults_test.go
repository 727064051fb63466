package pulpcore_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

// The faulty types of the plugin "python".
type (
	badPackage struct {
		models.Content
		Name    string `json:"name" pulp:"naturel" rest:"requird"`
		Index   string `json:"index_url" bun:"-"`
		Version string `json:"pulp_labels"`
	}
	badRemote struct {
		models.Remote
		hidden string `json:"-" doc:"A field that nobody sees."` //nolint:unused // which is the fault
	}
	badRepository   struct{ models.Repository }
	badDistribution struct{ models.Distribution }
	badGuard        struct{ models.ContentGuard }
	badSettings     struct {
		Limit int `setting:"PAGE_SIZE"`
	}
	badArgs struct{}
)

func (*badPackage) Validate(context.Context) error { return nil }

func (*badRepository) FinalizeNewVersion(context.Context) error { return nil }

func (*badDistribution) ContentHandler(context.Context, string) (_ http.Handler, _ error) {
	return nil, nil
}

func (*badSettings) Validate() bool { return true }

func (badArgs) Resources() []tasking.Resource { return nil }

var (
	badPackages = models.Define[badPackage]("python.package")
	badRemotes  = models.Define[badRemote]("pyhton.remote")
	badShared   = tasking.Define[struct{}]("rpm.shared")
)

// python is a plugin with a fault of each kind.
func python() *pulpcore.Plugin {
	nothing := func(context.Context, *tasking.Env, struct{}) error { return nil }
	ok := http.NotFoundHandler()
	return &pulpcore.Plugin{
		Name: "python",
		Models: []models.AnyType{
			badPackages, badRemotes,
			models.Define[badRepository]("python.python", models.Accepts(file.Files)),
			models.Define[badDistribution]("python.python"),
			models.Define[badGuard]("python.guard"),
		},
		Migrations: fstest.MapFS{
			"0001_initial.up.sql": {Data: []byte("x")}, "0001_initial.down.sql": {Data: []byte("x")},
			"0003_next.up.sql": {Data: []byte("x")}, "notes.sql": {Data: []byte("x")},
		},
		Tasks: []tasking.Binding{
			badShared.Bind(nothing),
			tasking.Define[badArgs]("python.sync").Bind(func(context.Context, *tasking.Env, badArgs) error { return nil }).With(tasking.BindingOptions{Subprocess: true}),
		},
		Views: []rest.View{
			rest.ViewSet[badPackage]{Type: badPackages, Name: "packages", Filters: rest.Filters{"titel": rest.NameFilter()}},
			rest.ViewSet[badRemote]{Type: badRemotes, Name: "Remote"},
		},
		API: []rest.Route{{Pattern: "/pypi/{name/", Handler: ok}, {Pattern: "/same/", Handler: ok}},
		Content: []content.Route{
			{Pattern: "/simple/"}, {Pattern: "GET /pulp/content/{path...}", Handler: ok}, {Pattern: "/files/", Handler: ok},
		},
		Settings:  []settings.AnySection{settings.Define("python", badSettings{})},
		Checksums: []hashlib.Algorithm{hashlib.MD5},
	}
}

// TestOpenReportsEveryFault opens an App with all that can be wrong, and finds a line for each fault and nothing on
// the disk.
func TestOpenReportsEveryFault(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, *tasking.Env, struct{}) error { return nil }
	ok := http.NotFoundHandler()
	rpm := &pulpcore.Plugin{
		Name: "rpm", Version: "(devel)", Tasks: []tasking.Binding{badShared.Bind(nothing)},
		API:      []rest.Route{{Pattern: "/same/", Handler: ok}},
		Content:  []content.Route{{Pattern: "/files/", Handler: ok}},
		Settings: []settings.AnySection{settings.Define("rpm", struct{ A int }{})},
	}
	again := &pulpcore.Plugin{
		Name: "rpm", Version: "1",
		Settings: []settings.AnySection{settings.Define("rpm", struct{ A int }{})},
	}
	dir := filepath.Join(t.TempDir(), "data")
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", dir), settings.Value("PAGE_SIZZE", 5))
	if err != nil {
		t.Fatal(err)
	}
	_, err = pulpcore.Open(t.Context(), set, python(), rpm, nil, again)
	if !errors.Is(err, pulperr.Invalid) {
		t.Fatalf("Open = %v, want kind Invalid", err)
	}
	want, readErr := os.ReadFile("testdata/open_faults.txt")
	if readErr != nil {
		t.Fatal(readErr)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("Open reports (-want +got):\n%s", diff)
	}
	if entries, err := os.ReadDir(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder has %v, %v; want none", entries, err)
	}
}

// One fault is one line.
func TestOpenReportsOneFault(t *testing.T) {
	t.Parallel()
	set, err := quiet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = pulpcore.Open(t.Context(), set, &pulpcore.Plugin{Name: "one", Version: "x"})
	const want = `pulpcore: open: invalid input: plugin "one": the version "x" does not begin with a number; ` +
		`set Version, as in "1.0.0"`
	if err == nil || err.Error() != want {
		t.Errorf("Open = %v, want %s", err, want)
	}
}
