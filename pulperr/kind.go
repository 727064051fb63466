// Package pulperr classifies errors so that every layer above can act on them without knowing where they came from.
//
// A [Kind] is itself an error. The place that first knows what went wrong wraps the cause with a kind, and anyone
// above asks with errors.Is:
//
//	return fmt.Errorf("storage: open %q: %w: %w", key, pulperr.NotFound, err)
//	if errors.Is(err, pulperr.NotFound) { … }
//
// Text that may be shown to a client is made with [Public] or [Coded]; everything else stays in the logs. [Message]
// is the only way from an error to words for a client, so a wrapped cause (a URL with a password, a path on the
// server) never leaks.
package pulperr

import (
	"errors"
	"fmt"
)

// Kind is a class of error. The zero Kind is not valid.
type Kind uint8

// The kinds of error. Each is an error value to wrap and to compare with errors.Is.
const (
	Internal     Kind = iota + 1 // a fault of this program; never explained to clients
	Invalid                      // the caller's input is wrong and must change before a retry
	NotFound                     // the thing named does not exist
	Exists                       // a thing with that identity exists already
	Conflict                     // the thing is in a state that does not allow this
	Locked                       // another holder has the resource that is needed
	Unauthorized                 // the caller is not authenticated
	Forbidden                    // the caller is authenticated and not allowed to do this
	Unsupported                  // not offered here, for example a checksum that is not allowed
	TooLarge                     // over a limit
	Unavailable                  // a backend did not answer; the same call may work later
	Canceled                     // the work was asked to stop
	TooMany                      // the caller asks too often; the same call may work later
)

var words = [...]string{
	Internal:     "internal error",
	Invalid:      "invalid input",
	NotFound:     "not found",
	Exists:       "already exists",
	Conflict:     "conflict",
	Locked:       "locked",
	Unauthorized: "not authenticated",
	Forbidden:    "forbidden",
	Unsupported:  "not supported",
	TooLarge:     "too large",
	Unavailable:  "temporarily unavailable",
	Canceled:     "canceled",
	TooMany:      "too many requests",
}

// Error returns the kind in words that may be shown to anyone.
func (k Kind) Error() string {
	if k == 0 || int(k) >= len(words) {
		return fmt.Sprintf("pulperr.Kind(%d)", uint8(k))
	}
	return words[k]
}

// KindOf returns the kind of err: the outermost one found in its tree, or Internal if it has none.
// A nil error has kind 0.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	return Internal
}
