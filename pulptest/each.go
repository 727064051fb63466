package pulptest

import (
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/settings"
)

// PostgresEnv is the environment variable with the URL of a Postgres server for [Each], as in
// "postgres://user:password@localhost/postgres", of a role that may create databases.
const PostgresEnv = dbtest.PostgresEnv

// Each runs a test as the subtests "sqlite" and "postgres", each with an App on a new database of that kind. On
// Postgres the database is dropped when the subtest ends, also after a failure. Fn may call t.Parallel.
//
// Where [PostgresEnv] is not set, the subtest "postgres" is skipped and a notice is printed on standard error. With
// PULP_TEST_STRICT=1 in the environment it fails instead, so that a CI job cannot leave it out by mistake.
func Each(t *testing.T, fn func(t *testing.T, app *App), plugins ...*pulpcore.Plugin) {
	t.Helper()
	EachWith(t, nil, fn, plugins...)
}

// EachWith is [Each] with settings that win over those of a test, except DATABASE_URL.
func EachWith(
	t *testing.T, opts []settings.Option, fn func(t *testing.T, app *App), plugins ...*pulpcore.Plugin,
) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, url string) {
		// Not appended to opts, whose memory both subtests would write to.
		all := append(append([]settings.Option(nil), opts...), settings.Value("DATABASE_URL", url))
		fn(t, NewWith(t, all, plugins...))
	})
}
