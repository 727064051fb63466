package pulpcore

import (
	"context"
	"errors"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// AdminName is the name of the account that [App.CreateAdmin] makes.
const AdminName = "admin"

func createAdmin(ctx context.Context, db *models.DB, password string) (created bool, err error) {
	_, err = accounts.ByName(ctx, db, AdminName)
	if !errors.Is(err, pulperr.NotFound) {
		return false, err
	}
	admin := &accounts.User{Username: AdminName, IsStaff: true, IsActive: true, IsSuperuser: true}
	err = accounts.Create(ctx, db, admin, password)
	if errors.Is(err, pulperr.Exists) { // another process has made it since
		return false, nil
	}
	return err == nil, err
}

func setAdminPassword(ctx context.Context, db *models.DB, password string) error {
	created, err := createAdmin(ctx, db, password)
	if err != nil || created {
		return err
	}
	return accounts.SetPassword(ctx, db, AdminName, password)
}
