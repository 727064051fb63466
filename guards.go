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

// superusers returns the function by which guards of type core.rbac permit superusers only.
func superusers(auth rest.Authenticator) func(context.Context, *content.Request, models.AnyContentGuard) error {
	return func(ctx context.Context, r *content.Request, _ models.AnyContentGuard) error {
		u, err := auth.Authenticate(r.HTTP.WithContext(ctx))
		switch {
		// Pulp answers 403 with the same words to requests without credentials and to wrong ones.
		case errors.Is(err, pulperr.Unauthorized), err == nil && u == nil:
			return pulperr.Public(pulperr.Forbidden, "Authentication credentials were not provided.")
		case err != nil:
			return err
		case !u.IsSuperuser || !u.IsActive:
			return pulperr.Public(pulperr.Forbidden, "You do not have permission to perform this action.")
		}
		return nil
	}
}
