package models_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// Code inside a transaction that works with the handle from outside is told so at once, on both databases: SQLite would
// make it wait for its own writer, and Postgres run it beside the transaction, or never if the pool is small.
func TestHandleFromOutsideOfATransaction(t *testing.T) {
	uses := map[string]func(ctx context.Context, db *models.DB) error{
		"a transaction": func(ctx context.Context, db *models.DB) error {
			return db.Tx(ctx, func(context.Context, *models.Tx) error { return nil })
		},
		"a query": func(ctx context.Context, db *models.DB) error {
			_, err := remotes.Count(ctx, db)
			return err
		},
		"a statement": func(ctx context.Context, db *models.DB) error {
			_, err := db.Bun().ExecContext(ctx, "DELETE FROM core_remote")
			return err
		},
		"a transaction of bun": func(ctx context.Context, db *models.DB) error {
			_, err := db.Conn().Bun.BeginTx(ctx, nil)
			return err
		},
	}
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, db *models.DB) {
				began := time.Now()
				err := db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
					if err := use(ctx, db); !errors.Is(err, sqldialect.ErrNested) {
						t.Errorf("error = %v, want ErrNested", err)
					}
					// With tx.DB everything works.
					if err := remotes.Create(ctx, tx.DB, newRemote("one")); err != nil {
						return err
					}
					tx.AfterCommit(func() {
						if err := remotes.Create(ctx, db, newRemote("two")); err != nil {
							t.Errorf("after the commit: %v", err)
						}
					})
					return tx.Tx(ctx, func(ctx context.Context, in *models.Tx) error {
						if err := use(ctx, db); !errors.Is(err, sqldialect.ErrNested) {
							t.Errorf("below a savepoint: error = %v, want ErrNested", err)
						}
						return models.Create(ctx, in.DB, newRemote("three"))
					})
				})
				if err != nil {
					t.Fatal(err)
				}
				if n, err := remotes.Count(t.Context(), db); err != nil || n != 3 {
					t.Errorf("Count = %d, %v, want 3", n, err)
				}
				if d := time.Since(began); d > 5*time.Second {
					t.Errorf("took %v, want no waiting", d)
				}
			})
		})
	}
}

// Transactions of two databases may lie within each other.
func TestTransactionsOfTwoDatabases(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		one, two := open(t, url), open(t, dbtest.SQLite(t))
		err := one.Tx(t.Context(), func(ctx context.Context, _ *models.Tx) error {
			return two.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
				return remotes.Create(ctx, tx.DB, newRemote("one"))
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
