package python

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
)

// RemoteInput is the input of the action sync_projects.
type RemoteInput struct {
	Remote string `json:"remote" rest:"required" doc:"Href or PRN of the remote."`
}

// syncProjects is the action that syncs each project in a task of its own: if one fails, the others are synced all the
// same. It removes nothing.
func syncProjects(ctx context.Context, r *rest.Request[Repository], in *RemoteInput) (*rest.AcceptedGroup, error) {
	remote, err := rest.Resolve(ctx, r, Remotes, "remote", in.Remote)
	if err != nil {
		return nil, err
	}
	var args []ProjectArgs
	for _, name := range remote.Projects {
		args = append(args, ProjectArgs{SyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(r.Row)}, name})
	}
	tasks, err := SyncProject.DispatchGroup(ctx, r.Queue, "Sync of "+remote.Name, args,
		group.Report{Message: "Synced projects", Code: "sync.projects"})
	if err != nil {
		return nil, err
	}
	return r.AcceptGroup(tasks), nil
}

// syncProject is the task [SyncProject].
func syncProject(ctx context.Context, env *tasking.Env, a ProjectArgs) error {
	if err := syncFrom(ctx, env, a.SyncArgs, a.Project); err != nil {
		return err
	}
	return env.Group.Progress("sync.projects").Add(ctx, 1)
}

// synchronize is the task [Sync].
func synchronize(ctx context.Context, env *tasking.Env, a SyncArgs) error {
	return syncFrom(ctx, env, a)
}

// syncFrom makes a version of what the remote's index has of some projects. Without any those of the remote are meant.
func syncFrom(ctx context.Context, env *tasking.Env, a SyncArgs, projects ...string) error {
	remote, err := Remotes.Get(ctx, env.DB, a.Remote)
	if err != nil {
		return err
	}
	repo, err := Repositories.Get(ctx, env.DB, a.Repository)
	if err != nil {
		return err
	}
	if projects == nil {
		projects = remote.Projects
	}
	first := &indexStage{env: env, remote: remote, projects: projects}
	_, _, err = stages.DeclarativeVersion{Repository: repo, First: first, Mirror: a.Mirror}.Create(ctx, env)
	return err
}

// indexStage is the first stage: it declares the files that the remote's index has of some projects.
type indexStage struct {
	env      *tasking.Env
	remote   *Remote
	projects []string
}

// Run implements [stages.Stage].
func (s *indexStage) Run(ctx context.Context, _ *stages.In, out *stages.Out) error {
	return s.env.Progress(ctx, "Reading project indexes", "sync.parsing.metadata", func(p *tasking.Progress) error {
		p.SetTotal(int64(len(s.projects)))
		for _, name := range s.projects {
			project := Normalize(name)
			files, base, err := s.files(ctx, project)
			if err != nil {
				return fmt.Errorf("%w: %w", pulperr.Public(pulperr.KindOf(err), "%s: %s", name, pulperr.Message(err)), err)
			}
			for _, f := range files {
				unit, err := s.declare(project, f, base)
				if err != nil { // indexes have files of old formats too, which pip passes over as well
					s.env.Log.WarnContext(ctx, "file was left out", "project", name, "filename", f.Filename, "err", err)
				} else if err := out.Put(ctx, unit); err != nil {
					return err
				}
			}
			p.Add(1)
		}
		return nil
	})
}

// files returns the files that the index has of a project, and the URL of their page.
func (s *indexStage) files(ctx context.Context, project string) (files []File, base *url.URL, err error) {
	res, err := s.env.FetchRequest(ctx, s.remote, &download.Request{
		URL:     strings.TrimSuffix(s.remote.URL, "/") + "/" + url.PathEscape(project) + "/",
		Header:  http.Header{"Accept": {typeJSON + ", " + typeHTML + ";q=0.2, " + typeText + ";q=0.1"}},
		MaxSize: config.In(s.env.DB).MaxIndexBytes,
	})
	if err != nil {
		return nil, nil, err
	}
	if base, err = url.Parse(res.URL); err != nil {
		return nil, nil, err
	}
	page, err := os.ReadFile(res.Path)
	if err != nil {
		return nil, nil, err
	}
	files, err = ParseIndex(res.Header.Get("Content-Type"), page)
	return files, base, err
}

// declare returns the unit of a file on the page at base.
func (s *indexStage) declare(project string, f File, base *url.URL) (*stages.DeclarativeContent, error) {
	name, version, err := ParseFilename(f.Filename)
	if err != nil {
		return nil, err
	}
	if name != project || f.Hashes.SHA256 == "" || f.Size < 0 {
		return nil, pulperr.Field("filename", "%q is of another project, or its SHA-256 or size is wrong", f.Filename)
	}
	location, err := base.Parse(f.URL)
	if err != nil {
		return nil, err
	}
	location.Fragment = ""
	if err := download.CheckURL(location.String(), nil); err != nil {
		return nil, err
	}
	hashes := s.env.DB.Checksums().Filter(f.Hashes)
	return &stages.DeclarativeContent{
		Content: &Package{
			Filename: f.Filename, SHA256: hashes.SHA256, Name: name, Version: version, RequiresPython: f.RequiresPython,
			Size: f.Size, Hashes: hashes, Yanked: f.Yanked != nil && f.Yanked != false && f.Yanked != "",
		},
		Artifacts: []*stages.DeclarativeArtifact{{
			Artifact: &models.Artifact{Size: f.Size, Digests: hashes}, URLs: []string{location.String()},
			RelativePath: f.Filename, Remote: s.remote, Deferred: s.remote.Policy != models.Immediate,
		}},
	}, nil
}
