package models_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// stopAt stops a process before its n-th transaction, until it is released.
type stopAt struct {
	n        int
	reached  chan struct{}
	released chan struct{}
}

func newStopAt(n int) *stopAt {
	return &stopAt{n: n, reached: make(chan struct{}), released: make(chan struct{})}
}

func (s *stopAt) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if e.Query == "BEGIN" {
		if s.n--; s.n == 0 {
			close(s.reached)
			<-s.released
		}
	}
	return ctx
}

func (s *stopAt) AfterQuery(context.Context, *bun.QueryEvent) {}

// overtaken runs slow in a process that is stopped before its n-th transaction; fast runs meanwhile, and calls its
// argument to let slow end. It returns the error of slow, and whether it had an n-th transaction.
func overtaken(n int, slow *models.DB, do func(db *models.DB) error, fast func(end func() error)) (
	stopped bool, err error,
) {
	s := newStopAt(n)
	ended := make(chan error, 1)
	go func() { ended <- do(models.WithHook(slow, s)) }()
	select {
	case <-s.reached:
		fast(func() error {
			close(s.released)
			err = <-ended
			return err
		})
		return true, err
	case err := <-ended:
		return false, err
	}
}

// A process that starts a version, wherever it is overtaken by another one that mirrors a source, neither spoils the
// mirror nor gets another error than Locked.
func TestTwoStarters(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		mirroring, repo := open(t, url), (*Repo)(nil)
		for n, stopped := 1, true; stopped; n++ {
			starting := open(t, url)
			repo = newRepo(t, mirroring)
			units := newNotes(t, mirroring, 3)
			add(t, mirroring, repo, units...)
			start := func(starting *models.DB) error {
				mine := &Repo{Repository: repo.Repository}
				_, _, err := models.CreateVersion(ctx, starting, mine, nil, func(v *models.NewVersion) error {
					return v.MarkSeen(ctx, units[2:])
				})
				return err
			}
			mirror := func(end func() error) {
				v, _, err := models.CreateVersion(ctx, mirroring, repo, nil, func(v *models.NewVersion) error {
					if err := v.MarkSeen(ctx, units[:2]); err != nil {
						return err
					}
					if err := end(); err != nil && !errors.Is(err, pulperr.Locked) {
						t.Errorf("stopped before transaction %d, the other process got %v, want nil or Locked", n, err)
					}
					_, err := v.RemoveUnseen(ctx)
					return err
				})
				if errors.Is(err, pulperr.Locked) {
					return // it was taken over
				}
				if err != nil {
					t.Fatalf("stopped before transaction %d: %v", n, err)
				}
				checkContent(ctx, t, mirroring, v, units[:2])
			}
			stopped, _ = overtaken(n, starting, start, mirror)
			if left, err := mirroring.Bun().NewSelect().TableExpr("core_versionseen").Count(ctx); err != nil || left > 0 {
				t.Fatalf("stopped before transaction %d: %d notes of seen units are left, %v", n, left, err)
			}
		}
	})
}

// A running task that starts a version is not disturbed by another process that deletes one.
func TestDeleteOvertakenByTask(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		for _, what := range []string{"version", "repository"} {
			for n, stopped := 1, true; stopped; n++ {
				building, deleting := open(t, url), open(t, url)
				task := building.ForTask(&models.TaskScope{TaskID: newTask(t, building, models.Running)})
				p := newPublished(t, building)
				p.publish(t, building, 2, false)
				remove := func(db *models.DB) error { return models.DeleteVersion(ctx, db, p.versions[2]) }
				if what == "repository" {
					remove = func(db *models.DB) error { return repos.Delete(ctx, db, models.RefOf(p.repo)) }
				}
				unit := newNotes(t, building, 1)
				build := func(end func() error) {
					started := false
					v, _, err := models.CreateVersion(ctx, task, p.repo, nil, func(v *models.NewVersion) error {
						started = true
						if err := end(); !errors.Is(err, pulperr.Locked) {
							t.Errorf("delete %s, stopped before transaction %d: %v, want Locked", what, n, err)
						}
						_, err := v.Add(ctx, unit)
						return err
					})
					if !started {
						_ = end()
					} else if err != nil {
						t.Errorf("the task beside delete %s, stopped before transaction %d: %v, %v", what, n, v, err)
					}
				}
				var err error
				if stopped, err = overtaken(n, deleting, remove, build); !stopped && err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// DiscardIncomplete ends the version that it is given, and no work of a running task.
func TestDiscardIncomplete(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		errGone := errors.New("process gone")
		for _, test := range []struct {
			name  string
			state models.TaskState // of the task that holds the version
			own   bool             // the handle belongs to that task
			want  error
		}{
			{"of a failed task", models.Failed, false, nil},
			{"of the handle's own task", models.Running, true, nil},
			{"of another running task", models.Running, false, pulperr.Locked},
			{"of another task that is being canceled", models.Canceling, false, pulperr.Locked},
		} {
			task := newTask(t, db, test.state)
			scoped := db.ForTask(&models.TaskScope{TaskID: task})
			repo, unit := newRepo(t, db), newNotes(t, db, 1)
			var prn string
			_, _, err := models.CreateVersion(ctx, scoped, repo, nil, func(v *models.NewVersion) error {
				if _, err := v.Add(ctx, unit); err != nil {
					return err
				}
				prn = models.CorePRN("repositoryversion", v.Version().ID)
				models.Abandon(v)
				return errGone
			})
			if !errors.Is(err, errGone) {
				t.Fatal(err)
			}
			h := db
			if test.own {
				h = scoped
			}
			err = models.DiscardIncomplete(ctx, h, prn)
			if !errors.Is(err, test.want) {
				t.Errorf("a version %s: %v, want %v", test.name, err, test.want)
			}
			clean, err := models.Clean(ctx, db, repo.ID)
			if err != nil || clean != (test.want == nil) {
				t.Errorf("a version %s is gone: %v, %v", test.name, clean, err)
			}
			if err := models.DiscardIncomplete(ctx, h, models.CorePRN("repositoryversion", uuid.New())); err != nil {
				t.Error(fmt.Errorf("a version that is gone: %w", err))
			}
		}
	})
}
