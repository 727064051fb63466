package rest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
)

// snapshot is the answer about a row below a repository.
type snapshot struct {
	Href   string `json:"pulp_href"`
	Number int    `json:"number"`
}

// snapshots is a resource below repositories, of rows that every repository has.
func snapshots() rest.Resource[models.RepositoryVersion, snapshot] {
	type row = models.RepositoryVersion
	return rest.Resource[row, snapshot]{
		Under: repositories, Parent: "repository_id", Path: "snapshots/", Class: "Snapshot", Alias: "rv", OrderBy: []string{"number"},
		Render: func(_ context.Context, r *rest.Request[row], rows []*row) ([]snapshot, error) {
			list := make([]snapshot, len(rows))
			for i, v := range rows {
				list[i] = snapshot{
					fmt.Sprintf("/pulp/api/v3/repositories/file/file/%s/snapshots/%s/", v.RepositoryID, v.ID), v.Number,
				}
			}
			return list, nil
		},
		Actions: []rest.Action[row]{
			rest.Post("double", func(_ context.Context, r *rest.Request[row], _ *rest.Empty) (*renameOutput, error) {
				return &renameOutput{fmt.Sprint(2 * r.Row.Number)}, nil
			}),
			rest.Do(rest.Operation{Name: "greet", Collection: true},
				func(context.Context, *rest.Request[row], *rest.Empty) (*renameOutput, error) {
					return &renameOutput{"hello"}, nil
				}),
		},
	}
}

// TestNestedResource asks for rows below their repository, below another one, and below none.
func TestNestedResource(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := setupViews(t, openDB(t, url), nil, append(views(), snapshots()))
		one := b.repo()
		b.unit("a", "one", "repository", one)
		other := b.create("repositories/file/file/", map[string]any{"name": "other"})
		foreign := &Repository{}
		foreign.Name = "foreign"
		must(t, repositories.Create(t.Context(), elsewhere(t, b.db), foreign))
		list := strings.Fields(hrefs(b.do("GET", one+"snapshots/?ordering=number", nil)))
		if len(list) != 2 || !strings.HasPrefix(list[0], one+"snapshots/") {
			t.Fatalf("rows = %v, want the 2 of the repository", list)
		}
		if got := strings.Fields(hrefs(b.do("GET", other+"snapshots/", nil))); len(got) != 1 || !strings.HasPrefix(got[0], other) {
			t.Errorf("rows of the other repository = %v, want its own", got)
		}
		diff(t, b.do("GET", list[1]+"?fields=number", nil).want(200).body, `{"number": 1}`)
		diff(t, b.do("POST", list[1]+"double/", nil).want(200).body, `{"was": "2"}`)
		diff(t, b.do("POST", one+"snapshots/greet/", nil).want(200).body, `{"was": "hello"}`)
		moved := strings.Replace(list[1], one, other, 1)
		gone := "/pulp/api/v3/repositories/file/file/" + nowhere + "/"
		away := "/pulp/api/v3/repositories/file/file/" + foreign.ID.String() + "/"
		for _, path := range []string{
			moved, strings.Replace(list[1], one, gone, 1), gone + "snapshots/", away + "snapshots/", one + "snapshots/x/",
			one + "snapshots/" + nowhere + "/", "/pulp/api/v3/repositories/file/file/x/snapshots/",
		} {
			b.do("GET", path, nil).want(404)
		}
		for _, path := range []string{moved + "double/", gone + "snapshots/greet/", away + "snapshots/greet/"} {
			b.do("POST", path, nil).want(404)
		}
		doc := loadDocument(t, b)
		for path, id := range map[string]string{
			"{file_file_repository_href}snapshots/":       "repositories_file_file_snapshots_list",
			"{file_file_repository_snapshot_href}":        "repositories_file_file_snapshots_read",
			"{file_file_repository_snapshot_href}double/": "",
			"{file_file_repository_href}snapshots/greet/": "",
		} {
			item := doc.Paths.Value(path)
			if item == nil || id != "" && item.Get.OperationID != id {
				t.Errorf("the document has no %s %s", path, id)
			}
		}
	})
}

// TestFaultsOfNestedResources has resources below what is not there.
func TestFaultsOfNestedResources(t *testing.T) {
	t.Parallel()
	db := openDB(t, dbtest.SQLite(t))
	early, orphan, unknown, taken := snapshots(), snapshots(), snapshots(), snapshots()
	orphan.Under, unknown.Parent, taken.Path = nil, "nothing", "versions/"
	late := snapshots()
	late.Parent, late.Path = "", "late/"
	list := append([]rest.View{early}, views()...)
	_, err := rest.New(db, nil, nil, &rest.Options{Views: append(list, orphan, unknown, taken, late)})
	for _, want := range []string{
		`resource "snapshots/": the type "file.file" that it is under is not served; list its ViewSet first`,
		`Parent names a column, and there is no Under`, `there is no column "nothing"`,
		`resource "versions/": the API uses the path itself`, `resource "late/": there is no Parent`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q in it", err, want)
		}
	}
}
