package stages_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/stages"
)

// Pair is a unit with the files "<name>/head" and "<name>/body", of which the head must be the name.
type Pair struct {
	models.Content
	Name string `json:"name" pulp:"natural"`
	Size int64  `json:"size"` // of the body
}

var pairs = models.Define[Pair]("test.pair")

func (p *Pair) FetchUnit(ctx context.Context, pull *models.Pull) (files []models.PulledFile, err error) {
	for _, name := range []string{"head", "body"} {
		if p.Name == "headless" && name == "head" {
			continue
		}
		f := models.PulledFile{RelativePath: p.Name + "/" + name}
		f.URL = pull.Remote.AsRemote().URL + "/" + f.RelativePath
		got, err := pull.Fetch(ctx, &download.Request{URL: f.URL})
		if err != nil {
			return nil, err
		}
		f.Path, p.Size = got.Path, got.Size
		files = append(files, f)
	}
	head, err := os.ReadFile(files[0].Path)
	if err == nil && p.Name != "headless" && string(head) != p.Name {
		err = pulperr.Public(pulperr.Invalid, "the head of %q is %q", p.Name, head)
	}
	return files, err
}

// pair declares a pair by its head alone.
func pair(remote *Remote, name string) *stages.DeclarativeContent {
	return &stages.DeclarativeContent{Content: &Pair{Name: name}, Artifacts: []*stages.DeclarativeArtifact{{
		Artifact: &models.Artifact{}, URLs: []string{remote.URL + "/" + name + "/head"}, RelativePath: name + "/head",
		Remote: remote, Deferred: remote.Policy != models.Immediate,
	}}}
}

func TestRemoteUnits(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a/head": "a", "a/body": "the body", "b/head": "b", "b/body": "another"})
		repo := b.repo("r")
		deferred, now := b.remote("later", up.URL, models.OnDemand), b.remote("now", up.URL, models.Immediate)
		b.sync(stages.DeclarativeVersion{Repository: repo, First: put(pair(deferred, "a"))})
		if n := up.requests(); n != 0 {
			t.Errorf("a sync on demand made %d requests", n)
		}
		for range 2 { // the second sync finds all files
			b.sync(stages.DeclarativeVersion{Repository: repo, First: put(pair(now, "a"), pair(now, "b"))})
		}
		if diff := cmp.Diff(digests(up.files), b.paths(b.latest(repo))); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		if n := up.requests(); n != 4 {
			t.Errorf("%d requests, want one for each file", n)
		}
		b.checkRemoteArtifacts(up, now, up.files)
		b.sound()
	})
}

func TestRemoteUnitsAreRefused(t *testing.T) {
	for name, want := range map[string]error{
		"wrong":    pulperr.Invalid,
		"headless": pulperr.Internal, // a declared file that FetchUnit does not return
		"absent":   pulperr.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				up := serve(t, map[string]string{"wrong/head": "another", "wrong/body": "x", "headless/body": "x"})
				remote, repo := b.remote("up", up.URL, models.Immediate), b.repo("r")
				_, _, err := b.trySync(stages.DeclarativeVersion{Repository: repo, First: put(pair(remote, name))})
				if !errors.Is(err, want) || b.latest(repo).Number != 0 {
					t.Errorf("sync = %v, want %v; the latest version is %d", err, want, b.latest(repo).Number)
				}
				if list, err := pairs.List(t.Context(), b.db); err != nil || len(list) > 0 {
					t.Errorf("%d units are saved, %v; want none", len(list), err)
				}
			})
		})
	}
}
