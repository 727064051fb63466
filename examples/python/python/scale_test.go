package python_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// fill adds so many projects of ten files each to the repository.
func (b *bench) fill(projects int) {
	b.t.Helper()
	ctx := b.t.Context()
	var ids []uuid.UUID
	for p := range projects {
		var units []*models.ContentWithFiles
		for v := range 10 {
			name := fmt.Sprintf("project%d-%d.tar.gz", p, v)
			units = append(units, &models.ContentWithFiles{Content: &python.Package{
				Filename: name, SHA256: sum(name), Name: fmt.Sprintf("project%d", p), Version: fmt.Sprint(v),
			}, Files: []models.ContentFile{{RelativePath: name}}})
		}
		must(b.t, models.SaveContents(ctx, b.app.DB(), units))
		for _, u := range units {
			ids = append(ids, u.Content.PulpID())
		}
	}
	_, _, err := models.CreateVersion(ctx, b.app.DB(), b.repo, nil, func(v *models.NewVersion) error {
		_, err := v.Add(ctx, ids)
		return err
	})
	must(b.t, err)
}

// TestPlanOfAProjectsPage makes sure that the page of a project costs the page: the database finds its files by the
// name, and looks up whether the version has each.
func TestPlanOfAProjectsPage(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	b.fill(300)
	spy := &statements{}
	b.app.DB().Conn().Bun.AddQueryHook(spy) //nolint:staticcheck // the pool of the test alone
	if n := len(b.files("project7")); n != 10 {
		t.Fatalf("the page has %d files, want 10", n)
	}
	found := 0
	for _, statement := range spy.all() {
		if !strings.Contains(statement, "python_python_content") || !strings.Contains(statement, "project7") {
			continue
		}
		found++
		var plan []map[string]any
		must(t, b.app.DB().Bun().NewRaw("EXPLAIN QUERY PLAN "+statement).Scan(t.Context(), &plan))
		text := fmt.Sprint(plan)
		if strings.Contains(text, "SCAN") || !strings.Contains(text, "python_python_content_name_idx") {
			t.Errorf("the plan of\n%s\nis %s\nwant a search by the index on the name", statement, text)
		}
	}
	if found == 0 {
		t.Error("no statement reads the packages of the project")
	}
}

// BenchmarkProjectPage asks for a page of ten files, in repositories of several sizes.
func BenchmarkProjectPage(b *testing.B) {
	for _, projects := range []int{10, 1000} {
		b.Run(fmt.Sprintf("files=%d", projects*10), func(b *testing.B) {
			x := setup(b, pulptest.New(b, python.Plugin()))
			x.fill(projects)
			b.ReportAllocs()
			for b.Loop() {
				x.get("simple/project7/", acceptJSON).Want(200)
			}
		})
	}
}
