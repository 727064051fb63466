package gomod

import (
	"context"
	"os"
	"strings"

	"golang.org/x/mod/module"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// synchronize makes a version of the modules that the remote names.
func synchronize(ctx context.Context, env *tasking.Env, a SyncArgs) error {
	remote, err := Remotes.Get(ctx, env.DB, a.Remote)
	if err != nil {
		return err
	}
	repo, err := Repositories.Get(ctx, env.DB, a.Repository)
	if err != nil {
		return err
	}
	first := &modulesStage{env: env, remote: remote}
	_, _, err = stages.DeclarativeVersion{Repository: repo, First: first, Mirror: a.Mirror}.Create(ctx, env)
	return err
}

// modulesStage is the first stage: it declares each version of the remote's modules. The stock stages leave a version
// that is here as it is, whatever the remote has, and fetch the files of others by [Module.FetchUnit].
type modulesStage struct {
	env    *tasking.Env
	remote *Remote
}

// Run implements [stages.Stage].
func (s *modulesStage) Run(ctx context.Context, _ *stages.In, out *stages.Out) error {
	return s.env.Progress(ctx, "Listing versions", "sync.listing.versions", func(p *tasking.Progress) error {
		for _, entry := range s.remote.Modules {
			path, version, one := strings.Cut(entry, "@")
			versions := []string{version}
			if !one {
				var err error
				if versions, err = s.list(ctx, path); err != nil {
					return err
				}
			}
			for _, version := range versions {
				if err := checkVersion(path, version); err != nil {
					return pulperr.Public(pulperr.Invalid, "module %s: the remote lists %q: %v", path, version, err)
				}
				if err := out.Put(ctx, s.declare(&Module{Path: path, Version: version})); err != nil {
					return err
				}
				p.Add(1)
			}
		}
		return nil
	})
}

// list returns the versions that the remote lists.
func (s *modulesStage) list(ctx context.Context, path string) ([]string, error) {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return nil, err
	}
	req := &download.Request{URL: join(s.remote, escaped+"/@v/list"), MaxSize: maxInfo}
	got, err := s.env.FetchRequest(ctx, s.remote, req)
	if err != nil {
		return nil, err
	}
	body, err := os.ReadFile(got.Path)
	return strings.Fields(string(body)), err
}

func (s *modulesStage) declare(m *Module) *stages.DeclarativeContent {
	dc := &stages.DeclarativeContent{Content: m}
	for _, kind := range kinds() {
		dc.Artifacts = append(dc.Artifacts, &stages.DeclarativeArtifact{
			Artifact: &models.Artifact{}, URLs: []string{join(s.remote, m.file(kind))}, RelativePath: m.file(kind),
			Remote: s.remote, Deferred: s.remote.Policy != models.Immediate,
		})
	}
	return dc
}
