package rest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/apitest"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/rest"
)

// byName believes every name, and that "admin" is an administrator.
type byName struct{}

func (byName) Authenticate(r *http.Request) (*accounts.User, error) {
	name, _, ok := r.BasicAuth()
	if !ok {
		return nil, nil
	}
	return &accounts.User{ID: 1, Username: name, IsActive: true, IsSuperuser: name == admin}, nil
}

func TestDocumentAgreesWithAnswers(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := setup(t, url, &rest.Options{Auth: byName{}})
		server := httptest.NewServer(b.api)
		t.Cleanup(server.Close)
		apitest.Walk(t, apitest.Server{
			URL: server.URL, DB: b.db, Queue: b.queue, Run: b.worker.RunPending,
			Login: func(r *http.Request, superuser bool) {
				name := "user"
				if superuser {
					name = admin
				}
				r.SetBasicAuth(name, password)
			},
		})
	})
}
