package models_test

import (
	"context"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/models"
)

// TestAfterCommitMayWrite opens a transaction in a hook, which must not wait for the one that has just ended.
func TestAfterCommitMayWrite(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var inHook error
		err := db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
			tx.AfterCommit(func() { inHook = remotes.Create(ctx, db, newRemote("hook")) })
			return remotes.Create(ctx, tx.DB, newRemote("outer"))
		})
		if err != nil || inHook != nil {
			t.Errorf("Tx = %v, a transaction in its hook = %v", err, inHook)
		}
	})
}
