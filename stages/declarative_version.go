package stages

import (
	"context"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// DeclarativeVersion makes a repository version that holds what a first stage declares. The zero value of a field
// other than Repository and First is its default.
type DeclarativeVersion struct {
	Repository models.AnyRepository
	First      Stage

	// Mirror removes units that were not declared; otherwise they stay.
	Mirror bool

	// Depth is how many units wait between two stages. Default DefaultDepth.
	Depth int

	// OnError is for every [ArtifactDownloader] and [ContentSaver] of the pipeline that has none of its own.
	OnError func(ctx context.Context, dc *DeclarativeContent, err error) error

	// Pipeline replaces the stock stages after First. Default StockStages.
	Pipeline func(env *tasking.Env, v *models.NewVersion, mirror bool) []Stage
}

// Create runs the pipeline and returns the repository's latest version, and whether that is a new one: if the content
// stays the same, no version is made. If the pipeline fails, the repository stays as it was.
//
// Mirrors pulpcore.plugin.stages.DeclarativeVersion.create.
func (d DeclarativeVersion) Create(ctx context.Context, env *tasking.Env,
) (v *models.RepositoryVersion, changed bool, err error) {
	pipeline := d.Pipeline
	if pipeline == nil {
		pipeline = StockStages
	}
	return models.CreateVersion(ctx, env.DB, d.Repository, nil, func(v *models.NewVersion) error {
		behind := pipeline(env, v, d.Mirror)
		for _, s := range behind {
			switch s := s.(type) {
			case *ArtifactDownloader:
				if s.OnError == nil {
					s.OnError = d.OnError
				}
			case *ContentSaver:
				if s.OnError == nil {
					s.OnError = d.OnError
				}
			}
		}
		return Run(ctx, d.Depth, append([]Stage{d.First}, behind...)...)
	})
}

// StockStages returns the stages that follow the first one, in order: query artifacts, download, save artifacts, query
// content, save content, save remote artifacts, resolve, associate.
func StockStages(env *tasking.Env, v *models.NewVersion, mirror bool) []Stage {
	return []Stage{
		&QueryExistingArtifacts{DB: env.DB},
		&ArtifactDownloader{Env: env},
		&ArtifactSaver{Env: env},
		&QueryExistingContents{DB: env.DB},
		&ContentSaver{DB: env.DB},
		&RemoteArtifactSaver{DB: env.DB},
		ResolveContentFutures{},
		&ContentAssociation{Env: env, Version: v, Mirror: mirror},
	}
}
