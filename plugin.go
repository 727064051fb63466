package pulpcore

import (
	"context"
	"io/fs"
	"log/slog"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// Plugin is what a plugin brings to an App: a value that is given to [Open]. Only Name and Version are required.
type Plugin struct {
	Name string // short and unique; the part before the dot in the names of its types
	// Version is what the status shows, and what decides which workers may execute the plugin's tasks, see
	// [tasking.DispatchOptions]. It begins with a number, behind a "v" or not: "1.10.0", "3.81.0rc1", "v2.0-dev".
	Version string

	// Init is called when the App is complete and before Open returns it, one plugin after the other, in the order in
	// which they are given to Open; nil does nothing. It may start work of the plugin's own, check what needs the
	// database, or keep the App. Its error fails Open. The function that it returns, which may be nil, ends that work: it
	// is called when the App is closed, before anything of the App is, or at once if a later plugin's Init fails.
	//
	// A plugin value may be given to two Apps, so keep what belongs to one App in the returned function, not in variables.
	// Most plugins need no Init: the tasks, requests, guards and hooks of a plugin are given the database and, by way of
	// [settings.Section.In], the settings of their App.
	Init func(ctx context.Context, app *App) (end func() error, err error)

	Models     []models.AnyType
	Migrations fs.FS             // see [models.PluginModels]; nil derives the tables. [WriteMigration] writes them
	Tasks      []tasking.Binding // named "<Name>.<task>", or "pulp_<Name>.<task>" as in Pulp
	Views      []rest.View
	API        []rest.Route    // further routes, mounted with the REST API
	Content    []content.Route // further routes, mounted with the content app

	// ProxyOverrides are headers that a reverse proxy sets at paths of the plugin, and ProxySnippets are lines of the
	// plugin's own for the configuration of the proxy. [ProxyConfig] renders them with the routes.
	ProxyOverrides []proxyconf.Override
	ProxySnippets  proxyconf.Snippets

	Settings         []settings.AnySection
	Defaults         []settings.Assignment     // defaults for other settings than its own
	Overlay          []settings.Assignment     // settings that it decides; see settings.Plugin
	ValidateSettings func(*settings.Set) error // further checks; nil means none

	// LogHandlers are handlers that LOGGING can refer to by these names. One that the installation need not ask for is
	// added by Overlay:
	//
	//	settings.Merge("LOGGING__handlers", map[string]any{"audit": map[string]any{"handler": "file.audit"}})
	LogHandlers map[string]slog.Handler

	Checksums []hashlib.Algorithm // that ALLOWED_CONTENT_CHECKSUMS must contain; sha256 always does
}
