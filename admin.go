package pulpcore

import (
	"context"
	"errors"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/pulperr"
)

// AdminName is the name of the account that [App.CreateAdmin] makes.
const AdminName = "admin"

// CreateAdmin makes a superuser named [AdminName] with a password, and reports whether it did: if there is an account
// of that name, also one that another process made at the same moment, that one stays as it is. Hosts call it at
// their first start.
func (a *App) CreateAdmin(ctx context.Context, password string) (created bool, err error) {
	_, err = accounts.ByName(ctx, a.db, AdminName)
	if !errors.Is(err, pulperr.NotFound) {
		return false, err
	}
	admin := &accounts.User{Username: AdminName, IsStaff: true, IsActive: true, IsSuperuser: true}
	err = accounts.Create(ctx, a.db, admin, password)
	if errors.Is(err, pulperr.Exists) {
		return false, nil
	}
	return err == nil, err
}

// SetAdminPassword gives the account named [AdminName] a new password, making it as [App.CreateAdmin] does if there is
// none.
func (a *App) SetAdminPassword(ctx context.Context, password string) error {
	created, err := a.CreateAdmin(ctx, password)
	if err != nil || created {
		return err
	}
	return accounts.SetPassword(ctx, a.db, AdminName, password)
}
