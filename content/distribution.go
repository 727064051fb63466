package content

import (
	"context"
	"net/http"
)

// Interfaces that the type of a distribution may implement.
type (
	// Handler answers some paths of a distribution itself. Mirrors Distribution.content_handler.
	Handler interface {
		// ContentHandler returns the handler for the request's path, or nil to serve the published files. To serve a file of
		// a unit return [App.ServeFile]'s handler. The content guard was asked before.
		//
		// Errors: those of kind NotFound, Forbidden and Unauthorized are shown to the client.
		ContentHandler(ctx context.Context, r *Request) (http.Handler, error)
	}
	// Lister adds names to the listings of a distribution. Mirrors Distribution.content_handler_list_directory.
	Lister interface {
		// ListDirectory returns what the folder at the request's path holds besides; names of folders end with a slash.
		ListDirectory(ctx context.Context, r *Request) ([]string, error)
	}
	// HeaderSetter sets headers of the answers with files. Mirrors Distribution.content_headers_for.
	HeaderSetter interface {
		// ContentHeaders returns headers that replace those of the same name, such as Content-Type. Headers that describe
		// the length of the answer are ignored. The request's path is that of the file: "index.html" for the root.
		ContentHeaders(r *Request) http.Header
	}
	// PublicationServer is for types that serve publications only. Mirrors Distribution.SERVE_FROM_PUBLICATION.
	PublicationServer interface {
		// NeedsPublication reports true if a repository version without a publication must not be served.
		NeedsPublication() bool
	}
)

// headersOf returns the headers of the answer with the file at the request's path.
func (s *fileServer) headersOf(req *Request) http.Header {
	h := http.Header{"Content-Type": {s.contentType(req.Path)}}
	if setter, ok := req.Distribution.(HeaderSetter); ok {
		for name, values := range setter.ContentHeaders(req) {
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
