// Package guards has the content guards that every App offers, as Pulp does: [RBAC], [Header], [ContentRedirect] and
// [Composite]. The REST API serves them below contentguards/core/.
//
// A guard that cannot decide refuses: a header that is sent twice, a filter that fails and a guard that was deleted
// never let a request pass.
package guards

import (
	"context"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

type (
	// RBAC permits whom the host permits, see content.Options.Authorize. Mirrors RBACContentGuard.
	RBAC struct{ models.ContentGuard }

	// Header permits requests with a header of a certain value. Mirrors HeaderContentGuard.
	//
	// Its filter picks the value out of the header's JSON, as in .identity.org_id or .a[] | select(.k == "b") | .v. It may
	// use paths, conditions, comparisons, variables, texts and the functions that pick and compare. Parts of jq that loop,
	// that calculate long values, or that read anything else are refused: def, reduce, foreach, *, assignments, range and
	// the like. A filter that takes more than a million steps refuses the request.
	Header struct {
		models.ContentGuard
		HeaderName  string  `json:"header_name" rest:"required" doc:"The header name the guard will check on."`
		HeaderValue string  `json:"header_value" rest:"required,verbatim" doc:"The value the guard will authorize on."`
		Filter      *string `json:"jq_filter" bun:"jq_filter" doc:"A JQ filter that gets the value from the header's JSON."`
	}

	// ContentRedirect permits URLs that were signed by [ContentRedirect.SignURL], for a time. It makes its secret when it
	// is created. Mirrors ContentRedirectContentGuard.
	ContentRedirect struct {
		models.ContentGuard
		Secret secrets.EncryptedText `json:"-"` // 64 lowercase hexadecimal digits
	}

	// Composite permits what at least one of its guards permits, and everything if it has none, as in Pulp. A guard of it
	// that was deleted permits nothing. Mirrors CompositeContentGuard.
	Composite struct {
		models.ContentGuard
		Guards []uuid.UUID `json:"guards" rest:"ref=contentguard" doc:"List of ContentGuards to ask for access."`
	}
)

// The types. They belong to the core, so a plugin must not list them.
var (
	RBACs            = models.Define[RBAC]("core.rbac")
	Headers          = models.Define[Header]("core.header")
	ContentRedirects = models.Define[ContentRedirect]("core.content_redirect")
	Composites       = models.Define[Composite]("core.composite")
)

// Models returns the types as a registry takes them.
func Models() models.PluginModels {
	return models.CoreModels(RBACs, Headers, ContentRedirects, Composites)
}

// Permit implements [content.Guard].
func (g *RBAC) Permit(ctx context.Context, r *content.Request) error { return r.Authorize(ctx, g) }

func denied(format string, args ...any) error {
	return pulperr.Public(pulperr.Forbidden, format, args...)
}
