package work_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/work"
)

type (
	unit struct {
		models.Content
		Name string `json:"name" pulp:"natural"`
	}
	repository struct{ models.Repository }
)

// failing ends the context of the nth statement and of all after it, as the end of the process does.
type failing struct {
	bun.QueryHook
	left int
}

var errDied = errors.New("the worker died")

// BeforeQuery is of bun.QueryHook.
func (f *failing) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	if f.left--; f.left >= 0 {
		return ctx
	}
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(errDied)
	return ctx
}

// AfterQuery is of bun.QueryHook.
func (*failing) AfterQuery(context.Context, *bun.QueryEvent) {}

// TestContentIsRepairedByARetry ends the task after each of its statements and runs it again: the unit, its labels, its
// file and the version are there once.
func TestContentIsRepairedByARetry(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		units := models.Define[unit]("x.unit")
		repositories := models.Define[repository]("x.repository", models.Accepts(units))
		db := modelstest.Open(t, url, nil, models.PluginModels{Plugin: "x", Types: []models.AnyType{units, repositories}})
		hook := &failing{left: 1 << 30}
		db.Conn().Bun.AddQueryHook(hook) //nolint:staticcheck // the pool of the test alone
		ctx := t.Context()
		failures := 0
		for n := 0; ; n++ {
			repo := &repository{}
			repo.Name = models.NewID().String()
			must(t, repositories.Create(ctx, db, repo))
			id := repo.PulpID()
			args := work.RowArgs{Repository: &id, Files: []work.FileArgs{{RelativePath: "a/b"}}}
			save := func() error {
				u := &unit{Name: repo.Name}
				u.Labels = models.Labels{"a": new("b")}
				return work.CreateContent(args, ctx, db, u)
			}
			hook.left = n
			err := save()
			hook.left = 1 << 30
			if err == nil {
				break
			}
			failures++
			// The version that was being made is discarded at the start of the next one, as after the death of a worker.
			must(t, save())
			found, err := units.List(ctx, db, models.Eq("name", repo.Name))
			must(t, err)
			if len(found) != 1 || found[0].Labels["a"] == nil || *found[0].Labels["a"] != "b" {
				t.Fatalf("after a failure at statement %d: %d units, want 1 with its label: %+v", n, len(found), found)
			}
			v, err := models.LatestVersion(ctx, db, id)
			must(t, err)
			key := []uuid.UUID{found[0].ID}
			has, err := v.Has(ctx, db, key)
			must(t, err)
			files, err := models.ContentArtifacts(ctx, db, key)
			must(t, err)
			if v.Number != 1 || !has[key[0]] || len(files[key[0]]) != 1 {
				t.Fatalf("after a failure at statement %d: version %d has the unit: %v; %d files, want version 1 and 1 file", n,
					v.Number, has[key[0]], len(files[key[0]]))
			}
		}
		if failures < 10 {
			t.Errorf("the task failed at %d statements, want each of at least 10", failures)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
