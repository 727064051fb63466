package pulptest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/password"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// authenticator knows the passwords of the accounts that this package makes. To verify a hash takes tens of
// milliseconds by design, which is too much for each App of a test.
type authenticator struct {
	adminPassword string // random, so that it differs from one that the test sets

	mu        sync.Mutex
	db        *models.DB        // nil until the App is open
	passwords map[string]string // by the names of accounts without privileges
	hasAdmin  bool
}

func newAuthenticator() *authenticator {
	return &authenticator{adminPassword: rand.Text(), passwords: map[string]string{}}
}

// bind sets the database of the App, which is opened with the authenticator and therefore after it.
func (a *authenticator) bind(db *models.DB) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.db = db
}

func (a *authenticator) remember(name, clear string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.passwords[name] = clear
}

// Authenticate implements [rest.Authenticator]. It leaves the accounts that the test makes, and wrong passwords, to the
// App's own authentication.
func (a *authenticator) Authenticate(r *http.Request) (*accounts.User, error) {
	name, clear, ok := r.BasicAuth()
	if !ok {
		return nil, nil
	}
	a.mu.Lock()
	db := a.db
	known, isUser := a.passwords[name]
	a.mu.Unlock()
	isAdmin := name == pulpcore.AdminName && clear == a.adminPassword
	if db == nil || !isAdmin && (!isUser || clear != known) {
		return nil, nil
	}
	u, err := accounts.ByName(r.Context(), db, name)
	if err != nil && !errors.Is(err, pulperr.NotFound) {
		return nil, err
	}
	// Since it was made, the test may have deleted the account, switched it off or given it another password.
	if err != nil || !u.IsActive || !isAdmin && u.Password != password.Unusable {
		return nil, nil
	}
	return u, nil
}

// makeAdmin makes the superuser, unless the App has one. The first request that needs it calls this, and not New, so
// that a test which calls CreateAdmin itself does not find one.
func (a *authenticator) makeAdmin(ctx context.Context, app *pulpcore.App) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hasAdmin {
		return nil
	}
	// An empty password is not hashed. An account that the test has made keeps its own password besides.
	if _, err := app.CreateAdmin(ctx, ""); err != nil {
		return err
	}
	a.hasAdmin = true
	return nil
}
