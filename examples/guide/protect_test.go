package guide_test

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log"
	"strings"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// Key is a content guard: it lets requests pass that bring a secret in a header.
type Key struct {
	models.ContentGuard
	Secret secrets.EncryptedText `json:"secret" rest:"required" doc:"What the header X-Key must have."`
}

// Keys is the type of [Key].
var Keys = models.Define[Key]("note.key")

// Permit decides about a request for a distribution that the guard protects.
func (k *Key) Permit(_ context.Context, r *content.Request) error {
	given := r.HTTP.Header.Get("X-Key")
	if given == "" {
		return pulperr.Public(pulperr.Unauthorized, "Send the key in X-Key.")
	}
	if subtle.ConstantTimeCompare([]byte(given), []byte(k.Secret.Reveal())) != 1 {
		return pulperr.Public(pulperr.Forbidden, "That is not the key of %q.", r.Distribution.AsDistribution().Name)
	}
	return nil
}

func Example_guard() {
	ctx := context.Background()
	app := open(Plugin())
	defer app.close()
	guard := app.send("POST", "/pulp/api/v3/contentguards/note/key/", `{"name": "door", "secret": "sesame"}`)
	fmt.Println(guard.Code, strings.Contains(guard.Body.String(), "sesame")) // secrets are in no answer

	repository := &Repository{Repository: models.Repository{Name: "list"}}
	if err := Repositories.Create(ctx, app.DB(), repository); err != nil {
		log.Fatal(err)
	}
	app.send("POST", "/pulp/api/v3/distributions/note/note/", `{"name": "list", "base_path": "list",
		"repository": "/pulp/api/v3/repositories/note/note/`+repository.ID.String()+`/",
		"content_guard": "`+field(guard, "pulp_href")+`"}`)
	for _, key := range []string{"", "nonsense", "sesame"} {
		fmt.Println(app.send("GET", "/pulp/content/list/", "", "X-Key", key).Code)
	}
	// Output:
	// 201 false
	// 401
	// 403
	// 200
}
