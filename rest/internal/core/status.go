package core

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// Status is the answer about the installation.
type Status struct {
	Versions    []Version          `json:"versions" doc:"The components."`
	Workers     []AppStatus        `json:"online_workers" doc:"The workers with a recent heartbeat."`
	APIApps     []AppStatus        `json:"online_api_apps" doc:"The API processes with a recent heartbeat."`
	ContentApps []AppStatus        `json:"online_content_apps" doc:"The content processes with a recent heartbeat."`
	Database    DatabaseConnection `json:"database_connection"`
	Redis       RedisConnection    `json:"redis_connection"`
	Storage     *Storage           `json:"storage"`
	Content     ContentSettings    `json:"content_settings"`
	Domains     bool               `json:"domain_enabled" doc:"Whether clients name domains in paths."`
}

// Version is a component.
type Version struct {
	Component        string `json:"component" doc:"The name of the component."`
	Version          string `json:"version" doc:"Its version."`
	Package          string `json:"package" doc:"The name of the Python package that clients know it by."`
	Module           string `json:"module" doc:"The name of the Python module that clients know it by."`
	DomainCompatible bool   `json:"domain_compatible" doc:"Whether it works with domains."`
}

// DatabaseConnection is the state of the database.
type DatabaseConnection struct {
	Connected bool `json:"connected" doc:"Whether the database answers."`
}

// RedisConnection is the state of the cache.
type RedisConnection struct {
	Connected bool `json:"connected" doc:"Whether the cache answers."`
}

// Storage is how full the storage is.
type Storage struct {
	Total *int64 `json:"total" doc:"Bytes that it can hold."`
	Used  *int64 `json:"used" doc:"Bytes that are used."`
	Free  *int64 `json:"free" doc:"Bytes that are free."`
}

// ContentSettings is where content is served.
type ContentSettings struct {
	Origin *string `json:"content_origin" doc:"Scheme and host of the content app."`
	Prefix string  `json:"content_path_prefix" doc:"The path below which content is served."`
}

// Processes fills in which processes are online, and whether the database could be asked.
func (s *Status) Processes(list []*models.Worker, err error) {
	byKind := map[string][]AppStatus{}
	for _, w := range list {
		if online(w) {
			byKind[w.Kind] = append(byKind[w.Kind], appStatus(w))
		}
	}
	s.Workers, s.APIApps = orEmpty(byKind[worker.KindWorker]), orEmpty(byKind[worker.KindAPI])
	s.ContentApps = orEmpty(byKind[worker.KindContent])
	s.Database.Connected = err == nil
}

// Components fills in the versions of the components by name.
func (s *Status) Components(versions map[string]string) {
	names := slices.Sorted(maps.Keys(versions))
	slices.SortStableFunc(names, func(x, y string) int { // the core comes first
		switch {
		case x == "core":
			return -1
		case y == "core":
			return 1
		}
		return strings.Compare(x, y)
	})
	s.Versions = []Version{}
	for _, name := range names {
		v := Version{name, versions[name], "pulp-" + name, "pulp_" + name + ".app", true}
		if name == "core" {
			v.Package, v.Module = "pulpcore", "pulpcore.app"
		}
		s.Versions = append(s.Versions, v)
	}
}

// Usage fills in how full the storage is, null if that is not known.
func (s *Status) Usage(ctx context.Context, store *storage.Store) {
	// A bucket has no limit to report. Pulp answers null for it as well.
	if u, err := store.Usage(ctx); err == nil {
		s.Storage = &Storage{new(u.Total), new(u.Used), new(u.Free)}
	}
}
