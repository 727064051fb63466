package guards_test

import (
	"fmt"
	"net/url"
	"time"

	"github.com/pulpgo/pulpcore/content/guards"
)

// A host hands out a link to a file behind a guard. It reads the guard from the database; here it is a new one.
func ExampleContentRedirect_SignURL() {
	guard := &guards.ContentRedirect{}
	if err := guard.Validate(); err != nil { // models.Create calls it
		fmt.Println(err)
		return
	}
	until := time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC)
	signed, err := guard.SignURL("https://pulp.example.com/pulp/content/images/disk.iso", until)
	if err != nil {
		fmt.Println(err)
		return
	}
	u, err := url.Parse(signed)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(u.Path, u.Query().Get("expires"), len(u.Query().Get("validate_token")))
	// Output: /pulp/content/images/disk.iso 1893456000 64
}
