package pulpcore

import (
	"context"
	"errors"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// AdminName is the name of the account that [App.SetAdminPassword] makes.
const AdminName = "admin"

// HasAdmin reports whether there is an account named [AdminName]. A host makes one at its first start.
func (a *App) HasAdmin(ctx context.Context) (bool, error) {
	_, err := models.UserByName(ctx, a.db, AdminName)
	if errors.Is(err, pulperr.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// SetAdminPassword gives the superuser named [AdminName] a password, making the account if there is none.
func (a *App) SetAdminPassword(ctx context.Context, password string) error {
	admin := &models.User{Username: AdminName, IsStaff: true, IsActive: true, IsSuperuser: true}
	err := models.CreateUser(ctx, a.db, admin, password)
	if errors.Is(err, pulperr.Exists) {
		return models.SetPassword(ctx, a.db, AdminName, password)
	}
	return err
}
