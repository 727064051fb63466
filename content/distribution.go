package content

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Guard is implemented by the type of every content guard and decides which requests a distribution accepts. Mirrors
// pulpcore.plugin.models.ContentGuard.permit.
type Guard interface {
	// Permit returns nil to let the request pass. An error of kind Forbidden refuses it with 403, one of kind
	// Unauthorized with 401; the client sees its public text. Anything else is a fault of the guard, answered with
	// 500.
	Permit(ctx context.Context, r *http.Request) error
}

// Interfaces that the type of a distribution may implement.
type (
	// Handler answers some paths of a distribution itself. Mirrors Distribution.content_handler.
	Handler interface {
		// ContentHandler returns the handler for a path below the base path, or nil to serve the published files. A
		// folder's path ends with a slash, that of the root is empty. To serve a file of a unit return [App.ServeFile]'s
		// handler.
		//
		// Errors: those of kind NotFound, Forbidden and Unauthorized are shown to the client.
		ContentHandler(ctx context.Context, a *App, path string) (http.Handler, error)
	}
	// Lister adds names to the listings of a distribution. Mirrors Distribution.content_handler_list_directory.
	Lister interface {
		// ListDirectory returns what a folder holds besides; names of folders end with a slash. The folder's path is
		// empty or ends with a slash.
		ListDirectory(ctx context.Context, a *App, path string) ([]string, error)
	}
	// HeaderSetter sets headers of the answers with files. Mirrors Distribution.content_headers_for.
	HeaderSetter interface {
		// ContentHeaders returns headers that replace those of the same name, such as Content-Type. Headers that describe
		// the length of the answer are ignored.
		ContentHeaders(path string) http.Header
	}
	// PublicationServer is for types that serve publications only. Mirrors Distribution.SERVE_FROM_PUBLICATION.
	PublicationServer interface {
		// NeedsPublication reports true if a repository version without a publication must not be served.
		NeedsPublication() bool
	}
)

// permit asks the distribution's content guard, if there is one.
func (s *site) permit(r *http.Request, match *lookup.Match) error {
	row, err := match.Guard(r.Context(), s.db)
	switch {
	case err == nil && row == nil:
		return nil
	case errors.Is(err, pulperr.NotFound):
		// The guard was just deleted, or its plugin is gone; as long as the distribution names it no request passes.
		s.log.ErrorContext(r.Context(), "content guard cannot be asked",
			"distribution", match.Distribution.AsDistribution().Name, "err", err)
		return pulperr.Public(pulperr.Forbidden, "The content guard of this path cannot be asked.")
	case err != nil:
		return err
	}
	guard, ok := row.(Guard)
	if !ok {
		return fmt.Errorf("content: guard type %q has no Permit method: %w", row.PulpType(), pulperr.Internal)
	}
	err = guard.Permit(r.Context(), r)
	if err == nil || errors.Is(err, pulperr.Forbidden) || errors.Is(err, pulperr.Unauthorized) {
		return err
	}
	// The kind of the fault is hidden: NotFound, for example, would mean that the path does not exist.
	return fmt.Errorf("content: guard %q: %w: %w", row.AsContentGuard().Name, pulperr.Internal, err)
}

// headersOf returns the headers of the answer with a file of a distribution.
func (s *site) headersOf(d models.AnyDistribution, path string) http.Header {
	h := http.Header{"Content-Type": {s.files.contentType(path)}}
	if setter, ok := d.(HeaderSetter); ok {
		for name, values := range setter.ContentHeaders(path) {
			switch name = http.CanonicalHeaderKey(name); name {
			// http.ServeContent decides how the bytes are sent. A wrong length would break the connection.
			case "Accept-Ranges", "Connection", "Content-Length", "Content-Range", "Trailer", "Transfer-Encoding", "Upgrade":
			default:
				h[name] = values
			}
		}
	}
	return h
}
