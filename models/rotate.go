package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// secretColumn is a column that holds sealed bytes.
type secretColumn struct{ table, column string }

// coreSecrets are the columns that the task engine seals.
func coreSecrets() []secretColumn {
	return []secretColumn{{"core_task", "enc_args"}, {"core_taskschedule", "enc_args"}}
}

// rotateBatch is how many rows one transaction of RotateKey encrypts.
const rotateBatch = 500

// RotateKey encrypts each secret of the registry's types and of all tasks, in every domain, with the first key of the
// ring that another key encrypted, and returns how many it changed. Afterwards the other keys can be removed from the
// key file. It works in short transactions beside a running server, and may be stopped and run again. Mirrors Pulp's
// rotate-db-key.
//
// Errors: Unavailable if there is no keyring, or if secrets are left that no key of the ring decrypts: those stay as
// they are, and the error names the first of them.
func RotateKey(ctx context.Context, db *DB) (rotated int, err error) {
	if db.keys == nil {
		return 0, pulperr.Public(pulperr.Unavailable, "there is no encryption key to protect secrets with; "+
			"name a key file in the setting DB_ENCRYPTION_KEY")
	}
	r := rotator{db}
	var unreadable []error
	for _, c := range r.columns() {
		var last uuid.UUID
		for more := true; more; {
			var n int
			var faults []error
			n, faults, last, more, err = r.batch(ctx, c, last)
			if err != nil {
				return rotated, fmt.Errorf("models: rotate the key of %s.%s: %w", c.table, c.column, err)
			}
			rotated += n
			unreadable = append(unreadable, faults...)
		}
	}
	if len(unreadable) > 0 {
		return rotated, pulperr.Public(pulperr.Unavailable, "%d secrets are left that no key decrypts; the first: %s",
			len(unreadable), pulperr.Message(unreadable[0]))
	}
	return rotated, nil
}

// rotator encrypts secrets again.
type rotator struct{ db *DB }

// batch rotates the rows of one batch, those after last.
func (r rotator) batch(ctx context.Context, c secretColumn, last uuid.UUID,
) (rotated int, faults []error, next uuid.UUID, more bool, err error) {
	err = r.db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		// Set again, because the closure runs again after a deadlock and must not count a row twice.
		rotated, faults, next = 0, nil, last
		var rows []struct {
			ID     uuid.UUID `bun:"pulp_id"`
			Sealed []byte    `bun:"sealed"`
		}
		err := tx.q.NewSelect().TableExpr("?", bun.Ident(c.table)).Column("pulp_id").
			ColumnExpr("? AS sealed", bun.Ident(c.column)).Where("pulp_id > ?", last).
			Where("? IS NOT NULL", bun.Ident(c.column)).OrderExpr("pulp_id").Limit(rotateBatch).Scan(ctx, &rows)
		if err != nil && !isNoRows(err) {
			return err
		}
		more = len(rows) == rotateBatch
		for _, row := range rows {
			next = row.ID
			fresh, err := r.db.Keys().Reseal(row.Sealed, secrets.Place{Table: c.table, Column: c.column, Row: row.ID})
			switch {
			case errors.Is(err, pulperr.Unavailable):
				// One secret whose key is lost must not prevent the others from getting the new key.
				faults = append(faults, err)
				continue
			case err != nil:
				return err
			case fresh == nil:
				continue
			}
			// The old bytes are compared, so that a secret that was set meanwhile stays.
			res, err := tx.q.NewUpdate().TableExpr("?", bun.Ident(c.table)).Set("? = ?", bun.Ident(c.column), fresh).
				Where("pulp_id = ?", row.ID).Where("? = ?", bun.Ident(c.column), row.Sealed).Exec(ctx)
			n, err := affected(res, err)
			if err != nil {
				return err
			}
			rotated += int(n)
		}
		return nil
	})
	return rotated, faults, next, more, err
}

// columns returns the columns of all types that hold secrets, each once, in a stable order.
func (r rotator) columns() []secretColumn {
	columns := coreSecrets()
	for _, s := range r.db.Registry().byDef {
		for _, f := range s.secrets {
			// Types of one master share its columns.
			if c := (secretColumn{s.tableOf(f), f.Column}); !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
		}
	}
	slices.SortFunc(columns, func(a, b secretColumn) int {
		return cmp.Or(strings.Compare(a.table, b.table), strings.Compare(a.column, b.column))
	})
	return columns
}
