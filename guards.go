package pulpcore

import (
	"context"
	"errors"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/content/guards"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// guardViews returns the views of the content guards that every App has.
func guardViews() []rest.View {
	return []rest.View{
		rest.ViewSet[guards.RBAC]{Type: guards.RBACs, Name: "rbac", Class: "RBACContentGuard"},
		rest.ViewSet[guards.Header]{Type: guards.Headers, Name: "header"},
		rest.ViewSet[guards.ContentRedirect]{Type: guards.ContentRedirects, Name: "content_redirect"},
		rest.ViewSet[guards.Composite]{Type: guards.Composites, Name: "composite"},
	}
}

// DownloadOperation is the operation that the [rest.Authorizer] is asked about before a guard of type core.rbac permits
// a download. The permission's Row is the guard.
const DownloadOperation = "contentguards_core_rbac_download"

// downloaders returns the function by which guards of type core.rbac permit whom the authorizer permits.
func downloaders(
	auth rest.Authenticator, may rest.Authorizer,
) func(context.Context, *content.Request, models.AnyContentGuard) error {
	if may == nil {
		may = rest.SuperusersOnly()
	}
	return func(ctx context.Context, r *content.Request, guard models.AnyContentGuard) error {
		u, err := auth.Authenticate(r.HTTP)
		switch {
		// Pulp answers 403 with the same words to requests without credentials and to wrong ones.
		case errors.Is(err, pulperr.Unauthorized), err == nil && u == nil:
			return pulperr.Public(pulperr.Forbidden, "Authentication credentials were not provided.")
		case err != nil:
			return err
		}
		err = may.Authorize(ctx, &rest.Permission{
			User: u, Operation: DownloadOperation, Type: guard.PulpType(), Row: guard.PulpID(), HTTP: r.HTTP,
		})
		if errors.Is(err, pulperr.Forbidden) || errors.Is(err, pulperr.NotFound) {
			return pulperr.Public(pulperr.Forbidden, "You do not have permission to perform this action.")
		}
		return err
	}
}
