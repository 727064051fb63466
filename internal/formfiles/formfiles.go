// Package formfiles removes the temporary files of forms.
//
// [http.Request.ParseMultipartForm], and what calls it, keeps large uploads in temporary files. The server removes
// those of the request that it made itself. It does not see what a handler parsed from a copy, such as
// [http.Request.WithContext] makes.
package formfiles

import "net/http"

// Handler returns h for requests that may be copies: what h parsed from its request is removed when h returns or
// panics. What h parsed from a copy of its own is not.
func Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Deferred, because h may panic: net/http recovers from that, and the files would stay.
		defer func() {
			if r.MultipartForm != nil {
				_ = r.MultipartForm.RemoveAll() // as net/http does it
			}
		}()
		h.ServeHTTP(w, r)
	})
}
