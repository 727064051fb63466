package models_test

import (
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// A row that refers to one that was deleted meanwhile is refused for that, not as if it was in use itself.
func TestReferenceToNothing(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx, gone := t.Context(), models.NewID()
		d := &Distribution{}
		d.Name, d.BasePath, d.RepositoryID = "d", "d", &gone
		wantKind(t, distributions.Create(ctx, db, d), pulperr.Invalid, "refers to a row that does not exist")
		d.RepositoryID = nil
		if err := distributions.Create(ctx, db, d); err != nil {
			t.Fatal(err)
		}
		d.RemoteID = &gone
		wantKind(t, distributions.Update(ctx, db, d, "remote_id"), pulperr.Invalid, "refers to a row that does not exist")
	})
}
