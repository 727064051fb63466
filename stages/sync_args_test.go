package stages_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/stages"
)

type (
	syncArgs    = stages.SyncArgs[Remote, Repo]
	publishArgs = stages.PublishArgs[struct{ Manifest string }]
)

func TestSyncArgs(t *testing.T) {
	t.Parallel()
	args := syncArgs{
		Remote: models.Ref[Remote]{ID: models.NewID()}, Repository: models.Ref[Repo]{ID: models.NewID()},
		Mirror: true, Optimize: true,
	}
	raw, err := json.Marshal(args)
	must(t, err)
	var back syncArgs
	must(t, json.Unmarshal(raw, &back))
	if diff := cmp.Diff(args, back); diff != "" {
		t.Errorf("arguments after JSON (-want +got):\n%s", diff)
	}
	got := args.Resources()
	if len(got.Exclusive) != 1 || len(got.Shared) != 1 {
		t.Errorf("Resources() = %+v, want one of each kind", got)
	}
}

func TestPublishArgs(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		repo := b.repo("r")
		v := b.latest(repo)
		args, err := stages.NewPublishArgs(t.Context(), b.db, v, struct{ Manifest string }{"M"})
		must(t, err)
		if want := (publishArgs{v.ID, models.PRNOf(repo), struct{ Manifest string }{"M"}}); args != want {
			t.Errorf("NewPublishArgs() = %+v, want %+v", args, want)
		}
		if l := args.Resources(); len(l.Shared) != 1 || len(l.Exclusive) != 0 {
			t.Errorf("Resources() = %+v, want the repository, shared", l)
		}
		v.RepositoryID = models.NewID()
		_, err = stages.NewPublishArgs(t.Context(), b.db, v, struct{ Manifest string }{})
		if !errors.Is(err, pulperr.NotFound) {
			t.Errorf("NewPublishArgs() of a repository that is gone = %v, want NotFound", err)
		}
	})
}
