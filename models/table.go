package models

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// table reads and writes the rows of one type in the domain of a handle. In its statements m is the master's table and
// d that of the type's own columns.
type table struct {
	*schema
	db *DB
}

// in returns the table within a transaction.
func (t table) in(tx *Tx) table { return table{t.schema, tx.DB} }

// get reads one row.
//
// Errors: NotFound.
func (t table) get(ctx context.Context, id uuid.UUID) (Row, error) {
	row := t.newRow()
	if err := t.selectRows(row).Where("m.pulp_id = ?", id).Scan(ctx); err != nil {
		return nil, rowError(err, string(t.master), id.String())
	}
	return row, t.unseal(row)
}

// selectRows starts a query for rows with all their columns.
func (t table) selectRows(dest any) *bun.SelectQuery {
	return t.joinOwn(t.allColumns(t.selectMaster(dest)))
}

// selectMaster starts a query for the master's rows of the type, without columns.
func (t table) selectMaster(dest any) *bun.SelectQuery {
	return t.db.Bun().NewSelect().Model(dest).ModelTableExpr("? AS m", bun.Ident(t.master.Table())).
		Where("m.pulp_domain_id = ?", t.db.Domain().ID).Where("m.pulp_type = ?", t.name)
}

func (t table) joinOwn(q *bun.SelectQuery) *bun.SelectQuery {
	if t.own == "" {
		return q
	}
	return q.Join("JOIN ? AS d ON d.pulp_id = m.pulp_id", bun.Ident(t.own))
}

// selectOwnFirst starts a query that reads the type's own table first, by an index, and looks each row up in the
// master's.
func (t table) selectOwnFirst(dest any, by valueIndex) *bun.SelectQuery {
	domain := "d.pulp_domain_id"
	// SQLite takes an index for the better one if it was made later. The one of the natural key begins with the domain,
	// which all rows of a type may have.
	if by == indexAlone {
		domain = unindexed(domain)
	}
	// Without fresh statistics Postgres would rather read all rows of the type from the master's table.
	return t.db.Bun().NewSelect().Model(dest).ModelTableExpr("? AS d", bun.Ident(t.own)).
		Join(t.db.Conn().Kind.JoinEach(t.master.Table(), "m", "m.pulp_id = d.pulp_id")).
		Where(domain+" = ?", t.db.Domain().ID).Where("m.pulp_domain_id = ?", t.db.Domain().ID).
		Where("m.pulp_type = ?", t.name)
}

// selectKeys starts a query for the rows with the given keys, which must be of the domain and the type. Each key is
// looked up by itself.
func (t table) selectKeys(dest any, keys []uuid.UUID) *bun.SelectQuery {
	kind := t.db.Conn().Kind
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = sqldialect.Key(key)
	}
	sel := t.db.Bun().NewSelect().Model(dest).ModelTableExpr("("+kind.Values(len(keys), uuidType(kind))+") AS k", args...).
		Join(kind.JoinEach(t.master.Table(), "m", "m.pulp_id = k.column1"))
	if t.own != "" {
		sel = sel.Join(kind.JoinEach(`"`+t.own+`"`, "d", "d.pulp_id = k.column1"))
	}
	return t.allColumns(sel)
}

// allColumns adds all columns of the type to a query.
func (t table) allColumns(q *bun.SelectQuery) *bun.SelectQuery {
	for _, c := range t.masterCols {
		q = q.ColumnExpr("m.?", bun.Ident(c))
	}
	if t.own != "" {
		for _, c := range t.ownCols[2:] { // the two shared keys are the master's already
			q = q.ColumnExpr("d.?", bun.Ident(c))
		}
	}
	return q
}

// unseal decrypts the secrets of a row that was read.
func (t table) unseal(row Row) error {
	return t.eachSecret(row, func(e *secrets.EncryptedText, at secrets.Place) error { return e.Open(t.db.keys, at) })
}

// prepare makes a row ready to be inserted.
func (t table) prepare(row Row, now time.Time) error {
	row.base().stamp(now)
	m := row.model()
	m.DomainID, m.Type = t.db.Domain().ID, t.name
	if c, ok := row.(AnyContent); ok && c.AsContent().TimestampOfInterest.IsZero() {
		c.AsContent().TimestampOfInterest = now
	}
	return t.check(row)
}

// check fills in defaults, validates a row and seals its secrets.
func (t table) check(row Row) error {
	if err := setDefaults(row); err != nil {
		return err
	}
	if err := t.checkTexts(row); err != nil {
		return err
	}
	if v, ok := row.(Validator); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("models: %s %s: %w", t.name, t.master, err)
		}
	}
	return t.eachSecret(row, func(e *secrets.EncryptedText, at secrets.Place) error { return e.Seal(t.db.keys, at) })
}

// insert inserts a prepared row in both tables.
func (t table) insert(ctx context.Context, row Row) error {
	if err := t.insertMaster(ctx, row); err != nil {
		return writeError(err, t.name, string(t.master))
	}
	if t.own == "" {
		return nil
	}
	_, err := t.db.Bun().NewInsert().Model(row).ModelTableExpr("?", bun.Ident(t.own)).Column(t.ownCols...).
		Returning("NULL").Exec(ctx)
	return writeError(err, t.name, string(t.master))
}

// insertMaster inserts the master's columns of a row, or of a pointer to a slice of rows.
func (t table) insertMaster(ctx context.Context, rows any) error {
	_, err := t.db.Bun().NewInsert().Model(rows).ModelTableExpr("?", bun.Ident(t.master.Table())).
		// By default bun reads the columns back that are null.
		Column(t.masterCols...).Returning("NULL").Exec(ctx)
	return err
}

// split sorts the columns that an update names by the table that has them.
//
// Errors: Invalid for none, for an unknown column, and for one that no update may write.
func (t table) split(columns []string) (master, own []string, err error) {
	if len(columns) == 0 {
		return nil, nil, pulperr.Public(pulperr.Invalid, "update of %s %s: name the columns to write", t.name, t.master)
	}
	master = []string{"pulp_last_updated"}
	for _, c := range columns {
		switch {
		case c == "pulp_last_updated":
		case slices.Contains(fixedColumns(), c):
			return nil, nil, pulperr.Public(pulperr.Invalid, "update of %s %s: column %q cannot be updated",
				t.name, t.master, c)
		case slices.Contains(t.masterCols, c):
			master = append(master, c)
		case slices.Contains(t.ownCols, c):
			own = append(own, c)
		default:
			return nil, nil, t.unknownColumn(c)
		}
	}
	return master, own, nil
}

// fixedColumns returns the columns that no update writes. next_version moves with the versions of a repository: a row
// that was read before the last version would move it back.
func fixedColumns() []string {
	return []string{"pulp_id", "pulp_domain_id", "pulp_type", "pulp_created", "next_version"}
}

// updateColumns writes columns of a row in one of the two tables.
func (t table) updateColumns(ctx context.Context, name string, row Row, columns []string) error {
	n, err := affected(t.db.Bun().NewUpdate().Model(row).ModelTableExpr("? AS m", bun.Ident(name)).Column(columns...).
		Where("m.pulp_id = ?", row.PulpID()).Where("m.pulp_domain_id = ?", t.db.Domain().ID).Exec(ctx))
	if err == nil && n == 0 {
		return fmt.Errorf("models: %s %s %s: %w", t.name, t.master, row.PulpID(), pulperr.NotFound)
	}
	return writeError(err, t.name, row.PulpID().String())
}

// deleteRow deletes a row and the record that a task created it.
func (t table) deleteRow(ctx context.Context, id uuid.UUID) error {
	// The own table's row goes with the master's, by ON DELETE CASCADE.
	n, err := affected(t.db.Bun().NewDelete().TableExpr("?", bun.Ident(t.master.Table())).Where("pulp_id = ?", id).
		Where("pulp_domain_id = ?", t.db.Domain().ID).Where("pulp_type = ?", t.name).Exec(ctx))
	if err != nil {
		return rowError(err, t.name, id.String())
	}
	if n == 0 {
		return fmt.Errorf("models: %s %s %s: %w", t.name, t.master, id, pulperr.NotFound)
	}
	return createdResources{t.db}.forget(ctx, t.prn(id))
}
