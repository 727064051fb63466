// Package modelstest opens databases for tests of the packages above models.
package modelstest

import (
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

// Open returns a handle, in the default domain, on a database that it has migrated. It is closed when the test ends.
//
// Its registry is made of sets unless opts has one or there are none, and its keys are always the same ones unless opts
// has some. opts may be nil.
func Open(tb testing.TB, url string, opts *models.DBOptions, sets ...models.PluginModels) *models.DB {
	tb.Helper()
	var o models.DBOptions
	if opts != nil {
		o = *opts
	}
	var err error
	if o.Registry == nil && len(sets) > 0 {
		if o.Registry, err = models.NewRegistry(sets...); err != nil {
			tb.Fatal(err)
		}
	}
	if o.Keys == nil {
		// The same key in each call, so that a second handle can decrypt the secrets of the first.
		if o.Keys, err = secrets.NewKeyring(make([]byte, 32)); err != nil {
			tb.Fatal(err)
		}
	}
	db, err := models.OpenDB(tb.Context(), url, &o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := models.Migrate(tb.Context(), db); err != nil {
		tb.Fatal(err)
	}
	if db, err = db.InDomain(tb.Context(), models.DefaultDomain); err != nil {
		tb.Fatal(err)
	}
	return db
}
