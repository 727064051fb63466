package pulperr_test

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/pulpgo/pulpcore/pulperr"
)

// open knows first what went wrong, so it says the kind.
func open(key string) error {
	return fmt.Errorf("storage: open %q: %w: %w", key, pulperr.NotFound, fs.ErrNotExist)
}

func Example() {
	err := fmt.Errorf("artifact: read: %w", open("a/b"))
	fmt.Println(errors.Is(err, pulperr.NotFound), pulperr.KindOf(err))
	fmt.Println("for the log:   ", err)
	fmt.Println("for the client:", pulperr.Message(err))

	err = fmt.Errorf("remote: create: %w", pulperr.Public(pulperr.Invalid, "remote %q needs a url", "mirror"))
	fmt.Println("for the client:", pulperr.Message(err))
	// Output:
	// true not found
	// for the log:    artifact: read: storage: open "a/b": not found: file does not exist
	// for the client: not found
	// for the client: remote "mirror" needs a url
}
