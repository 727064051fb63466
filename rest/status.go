package rest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

func (a *API) addStatus() {
	o := operation{tag: "Status", anonymous: true, noParams: true}
	o.path, o.answer = "status/", "StatusResponse"
	a.add(o.with("GET", "status_read", "Inspect status of Pulp", a.handleStatus))
	o.tag, o.path, o.answer = "Livez", "livez/", ""
	a.add(o.with("GET", "livez_read", "Inspect liveness of the API", func(_ context.Context, c *call) error {
		c.w.WriteHeader(http.StatusOK)
		return nil
	}))
}

// handleStatus tells how the installation is. It works also while the database does not.
func (a *API) handleStatus(ctx context.Context, c *call) error {
	byKind := map[string][]object{}
	workers, err := a.queue.Workers(ctx)
	for _, w := range workers {
		if online(w) {
			byKind[w.Kind] = append(byKind[w.Kind], processObject(w))
		}
	}
	if err != nil {
		a.log.WarnContext(ctx, "the database does not answer", "err", err)
	}
	cached := a.opts.CacheConnected != nil && a.opts.CacheConnected(ctx)
	var origin any
	if a.opts.ContentOrigin != "" {
		origin = a.opts.ContentOrigin
	}
	writeJSON(c.w, http.StatusOK, object{
		{"versions", a.componentVersions()},
		{"online_workers", orEmpty(byKind[tasking.KindWorker])},
		{"online_api_apps", orEmpty(byKind[tasking.KindAPI])},
		{"online_content_apps", orEmpty(byKind[tasking.KindContent])},
		{"database_connection", object{{"connected", err == nil}}},
		{"redis_connection", object{{"connected", cached}}},
		{"storage", a.storageUsage(ctx)},
		{"content_settings", object{
			{"content_origin", origin}, {"content_path_prefix", a.opts.ContentPathPrefix},
		}},
		{"domain_enabled", false},
	})
	return nil
}

func (a *API) componentVersions() []object {
	list := []object{}
	names := slices.Sorted(maps.Keys(a.opts.Versions))
	slices.SortStableFunc(names, func(x, y string) int { // the core comes first
		switch {
		case x == "core":
			return -1
		case y == "core":
			return 1
		}
		return strings.Compare(x, y)
	})
	for _, name := range names {
		pkg, module := "pulp-"+name, "pulp_"+name+".app"
		if name == "core" {
			pkg, module = "pulpcore", "pulpcore.app"
		}
		list = append(list, object{
			{"component", name},
			{"version", a.opts.Versions[name]},
			{"package", pkg},
			{"module", module},
			{"domain_compatible", true},
		})
	}
	return list
}

// storageUsage returns how full the storage is, or nil if it cannot tell.
func (a *API) storageUsage(ctx context.Context) any {
	u, err := a.store.Usage(ctx)
	if err != nil {
		return nil
	}
	return object{{"total", u.Total}, {"used", u.Used}, {"free", u.Free}}
}

// handleRoot lists where everything is.
func (a *API) handleRoot(_ context.Context, c *call) error {
	o := object{}
	for _, op := range a.ops {
		if op.paged && !strings.Contains(op.path, "{") {
			o.set(strings.TrimSuffix(op.path, "/"), webserver.SchemeOf(c.r)+"://"+c.r.Host+a.base+op.path)
		}
	}
	writeJSON(c.w, http.StatusOK, o)
	return nil
}

func (a *API) handleAllVersions(params []*param) handler {
	return func(ctx context.Context, c *call) error { return c.listVersions(ctx, params) }
}

func (v *view) isContent() bool     { return v.master == models.ContentMaster }
func (v *view) isRepository() bool  { return v.master == models.RepositoryMaster }
func (v *view) isPublication() bool { return v.master == models.PublicationMaster }
func (v *view) isGuard() bool       { return v.master == models.ContentGuardMaster }
