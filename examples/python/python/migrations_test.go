package python_test

import (
	"testing"

	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/pulptest"
)

// TestMigrations fails if a type was changed without a migration. With PULP_WRITE_MIGRATION=1 it writes that.
func TestMigrations(t *testing.T) {
	pulptest.Migrations(t, "migrations", python.Plugin())
}
