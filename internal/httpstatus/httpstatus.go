// Package httpstatus has the one table from kinds of errors to HTTP statuses.
package httpstatus

import (
	"net/http"

	"github.com/pulpgo/pulpcore/pulperr"
)

// statuses has the status of each kind. Conflicts of identity (Exists) are 400, because Pulp's API reports them as a
// fault of the field.
var statuses = [...]int{
	pulperr.Internal:     http.StatusInternalServerError,
	pulperr.Invalid:      http.StatusBadRequest,
	pulperr.NotFound:     http.StatusNotFound,
	pulperr.Exists:       http.StatusBadRequest,
	pulperr.Conflict:     http.StatusConflict,
	pulperr.Locked:       http.StatusServiceUnavailable,
	pulperr.Unauthorized: http.StatusUnauthorized,
	pulperr.Forbidden:    http.StatusForbidden,
	pulperr.Unsupported:  http.StatusBadRequest,
	pulperr.TooLarge:     http.StatusRequestEntityTooLarge,
	pulperr.Unavailable:  http.StatusServiceUnavailable,
	pulperr.Canceled:     http.StatusServiceUnavailable,
	pulperr.TooMany:      http.StatusTooManyRequests,
}

// Of returns the status of the answer to a request that failed with an error of the kind. It is 500 for a value that is
// not a kind.
func Of(kind pulperr.Kind) int {
	if int(kind) >= len(statuses) || statuses[kind] == 0 {
		return http.StatusInternalServerError
	}
	return statuses[kind]
}
