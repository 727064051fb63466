package models

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// pageSize is how many rows a query reads at a time when it walks over many.
const pageSize = 500

// Get returns the row with a key.
//
// Errors: NotFound.
func (t *Type[T]) Get(ctx context.Context, db *DB, r Ref[T]) (*T, error) {
	return t.One(ctx, db, Eq("pulp_id", r.ID))
}

// One returns the first row that fulfils all conditions.
//
// Errors: NotFound.
func (t *Type[T]) One(ctx context.Context, db *DB, where ...Cond) (*T, error) {
	rows, err := t.List(ctx, db, append(slices.Clone(where), Limit(1))...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("models: no %s %s matches: %w", t.def.name, t.def.master, pulperr.NotFound)
	}
	return rows[0], nil
}

// List returns the rows that fulfil all conditions, by key unless ordered otherwise. Use [Type.All] where their number
// has no bound.
func (t *Type[T]) List(ctx context.Context, db *DB, where ...Cond) ([]*T, error) {
	s, err := db.schema(t.def)
	if err != nil {
		return nil, err
	}
	rows, err := readRows[T](ctx, db, newQuery(s, where))
	if err != nil {
		return nil, rowError(err, s.name, string(s.master))
	}
	for _, row := range rows {
		if err := db.unseal(s, any(row).(Row)); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// readRows reads a page: by its keys if they can be found without the type's own table, else in one statement.
func readRows[T any](ctx context.Context, db *DB, q *query) ([]*T, error) {
	var rows []*T
	if !q.byKeys() {
		if err := q.rows(db, &rows).Scan(ctx); err != nil && !isNoRows(err) {
			return nil, err
		}
		return rows, nil
	}
	var keys []uuid.UUID
	if err := q.keys(db).Scan(ctx, &keys); err != nil && !isNoRows(err) {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if err := db.selectKeys(q.s, &rows, keys).Scan(ctx); err != nil && !isNoRows(err) {
		return nil, err
	}
	return arrange(rows, keys), nil
}

// All walks over the rows that fulfil all conditions, in key order unless ordered otherwise, holding one page in memory
// and no cursor in the database. With [OrderBy], [Limit] or [Offset] it first reads the keys of all rows, 16 bytes
// each. The error, if any, comes last.
func (t *Type[T]) All(ctx context.Context, db *DB, where ...Cond) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		pages := t.pagesByKey
		if slices.ContainsFunc(where, func(c Cond) bool { return c.orderBy != nil || c.limit > 0 || c.offset > 0 }) {
			pages = t.pagesInOrder
		}
		for rows, err := range pages(ctx, db, where) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// pagesByKey reads pages in key order, each from the last key on.
func (t *Type[T]) pagesByKey(ctx context.Context, db *DB, where []Cond) iter.Seq2[[]*T, error] {
	return func(yield func([]*T, error) bool) {
		var last uuid.UUID
		for more := true; more; {
			page := append(slices.Clone(where), Limit(pageSize))
			if last != uuid.Nil {
				page = append(page, after(last))
			}
			rows, err := t.List(ctx, db, page...)
			if !yield(rows, err) || err != nil {
				return
			}
			if more = len(rows) == pageSize; more {
				last = any(rows[len(rows)-1]).(Row).PulpID()
			}
		}
	}
}

// pagesInOrder reads the keys in their order, and then the rows page by page. Rows that are deleted meanwhile are left
// out.
func (t *Type[T]) pagesInOrder(ctx context.Context, db *DB, where []Cond) iter.Seq2[[]*T, error] {
	return func(yield func([]*T, error) bool) {
		s, err := db.schema(t.def)
		if err != nil {
			yield(nil, err)
			return
		}
		var keys []uuid.UUID
		if err := newQuery(s, where).keys(db).Scan(ctx, &keys); err != nil && !isNoRows(err) {
			yield(nil, rowError(err, s.name, string(s.master)))
			return
		}
		for page := range slices.Chunk(keys, pageSize) {
			rows, err := t.List(ctx, db, In("pulp_id", page))
			if err == nil {
				rows = arrange(rows, page)
			}
			if !yield(rows, err) || err != nil {
				return
			}
		}
	}
}

// arrange sorts rows as their keys are.
func arrange[T any](rows []*T, keys []uuid.UUID) []*T {
	place := make(map[uuid.UUID]int, len(keys))
	for i, key := range keys {
		place[key] = i
	}
	slices.SortFunc(rows, func(a, b *T) int {
		return place[any(a).(Row).PulpID()] - place[any(b).(Row).PulpID()]
	})
	return rows
}

// Count returns how many rows fulfil all conditions.
func (t *Type[T]) Count(ctx context.Context, db *DB, where ...Cond) (int64, error) {
	s, err := db.schema(t.def)
	if err != nil {
		return 0, err
	}
	n, err := newQuery(s, where).count(ctx, db)
	return n, rowError(err, s.name, "count")
}

// Create inserts a row in the handle's domain, making its key and times. A repository gets its empty version 0.
//
// Errors: Exists if a unique column is taken; Invalid from the row's Validate method.
func (t *Type[T]) Create(ctx context.Context, db *DB, row *T) error {
	return db.Create(ctx, any(row).(Row))
}

// Update writes the named columns of a row, or all of them if none is named.
//
// Errors: NotFound, Exists; Invalid from the row's Validate method.
func (t *Type[T]) Update(ctx context.Context, db *DB, row *T, columns ...string) error {
	return db.Update(ctx, any(row).(Row), columns...)
}

// Delete removes a row; see [DB.Delete].
//
// Errors: NotFound; Conflict if something that must not disappear still refers to it; Locked.
func (t *Type[T]) Delete(ctx context.Context, db *DB, r Ref[T]) error {
	s, err := db.schema(t.def)
	if err != nil {
		return err
	}
	return db.deleteWhole(ctx, s, r.ID)
}

// Cast returns the row of a master in its most derived form, as its plugin defined it.
//
// Errors: NotFound, also if its plugin is not part of this App.
func (db *DB) Cast(ctx context.Context, m Master, id uuid.UUID) (Row, error) {
	var pulpType string
	err := db.q.NewSelect().TableExpr("?", bun.Ident(m.Table())).Column("pulp_type").
		Where("pulp_id = ?", id).Where("pulp_domain_id = ?", db.domain.ID).Scan(ctx, &pulpType)
	if err != nil {
		return nil, rowError(err, string(m), id.String())
	}
	return db.get(ctx, m, pulpType, id)
}

// Load returns the row of a master whose pulp_type is known, in its most derived form.
//
// Errors: NotFound, also if its plugin is not part of this App.
func Load(ctx context.Context, db *DB, m Master, pulpType string, id uuid.UUID) (Row, error) {
	return db.get(ctx, m, pulpType, id)
}

// get reads one row whose type is known by name.
func (db *DB) get(ctx context.Context, m Master, pulpType string, id uuid.UUID) (Row, error) {
	s := db.registry.byType[m][pulpType]
	if s == nil {
		return nil, fmt.Errorf("models: %s type %q is of no plugin here: %w", m, pulpType, pulperr.NotFound)
	}
	row := s.newRow()
	if err := db.selectRows(s, row).Where("m.pulp_id = ?", id).Scan(ctx); err != nil {
		return nil, rowError(err, string(m), id.String())
	}
	return row, db.unseal(s, row)
}

func (db *DB) schema(d *definition) (*schema, error) {
	if s := db.registry.byDef[d]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("models: type %q belongs to no plugin of this App: %w", d.name, pulperr.Unsupported)
}

// selectRows starts a query for rows of one type: the master's table is m, the detail table d.
func (db *DB) selectRows(s *schema, dest any) *bun.SelectQuery {
	return db.joinDetail(s, db.columnsOf(s, db.selectMaster(s, dest)))
}

// selectMaster starts a query for the master's rows of one type, without columns.
func (db *DB) selectMaster(s *schema, dest any) *bun.SelectQuery {
	return db.q.NewSelect().Model(dest).ModelTableExpr("? AS m", bun.Ident(s.master.Table())).
		Where("m.pulp_domain_id = ?", db.domain.ID).Where("m.pulp_type = ?", s.name)
}

func (db *DB) joinDetail(s *schema, q *bun.SelectQuery) *bun.SelectQuery {
	if s.detail == "" {
		return q
	}
	return q.Join("JOIN ? AS d ON d.pulp_id = m.pulp_id", bun.Ident(s.detail))
}

// detailFirst starts a query that begins with the type's own table, whose indexes begin with the domain. Postgres, as
// long as it knows little of the tables, would rather walk over all rows of the type.
func (db *DB) detailFirst(s *schema, dest any) *bun.SelectQuery {
	return db.q.NewSelect().Model(dest).ModelTableExpr("? AS d", bun.Ident(s.detail)).
		Join(db.conn.Kind.JoinEach(s.master.Table(), "m", "m.pulp_id = d.pulp_id")).
		Where("d.pulp_domain_id = ?", db.domain.ID).Where("m.pulp_domain_id = ?", db.domain.ID).
		Where("m.pulp_type = ?", s.name)
}

// selectKeys starts a query for the rows with given keys, which are those of the domain and the type; one after the
// other is looked up.
func (db *DB) selectKeys(s *schema, dest any, keys []uuid.UUID) *bun.SelectQuery {
	kind := db.conn.Kind
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = key
	}
	values := kind.Values(len(keys), kind.TemplateData()["uuid"].(string))
	sel := db.q.NewSelect().Model(dest).ModelTableExpr("("+values+") AS k", args...).
		Join(kind.JoinEach(s.master.Table(), "m", "m.pulp_id = k.column1"))
	if s.detail != "" {
		sel = sel.Join(kind.JoinEach(`"`+s.detail+`"`, "d", "d.pulp_id = k.column1"))
	}
	return db.columnsOf(s, sel)
}

// columnsOf asks for all columns of a type.
func (db *DB) columnsOf(s *schema, q *bun.SelectQuery) *bun.SelectQuery {
	for _, c := range s.masterCols {
		q = q.ColumnExpr("m.?", bun.Ident(c))
	}
	if s.detail != "" {
		for _, c := range s.detailCols[2:] {
			q = q.ColumnExpr("d.?", bun.Ident(c))
		}
	}
	return q
}

// column qualifies a column's name.
func (s *schema) column(name string) bun.Safe {
	if slices.Contains(s.masterCols, name) {
		return bun.Safe(`m."` + name + `"`)
	}
	if slices.Contains(s.detailCols, name) {
		return bun.Safe(`d."` + name + `"`)
	}
	return bun.Safe(`m."no such column"`) // the database's error names it
}

// secretsOf calls fn for every secret of a row.
func (s *schema) secretsOf(row Row, fn func(*secrets.EncryptedText, secrets.Place) error) error {
	if s.secrets == nil {
		return nil
	}
	v := reflect.ValueOf(row).Elem()
	for _, f := range s.secrets {
		place := secrets.Place{Table: s.tableOf(f), Column: f.Column, Row: row.PulpID()}
		if err := fn(v.FieldByIndex(f.Index).Addr().Interface().(*secrets.EncryptedText), place); err != nil {
			return fmt.Errorf("models: %s %s: %w", s.name, s.master, err)
		}
	}
	return nil
}

// tableOf returns the table that holds a field.
func (s *schema) tableOf(f Field) string {
	if f.Own {
		return s.detail
	}
	return s.master.Table()
}

// unseal decrypts the secrets of a row that was read.
func (db *DB) unseal(s *schema, row Row) error {
	return s.secretsOf(row, func(e *secrets.EncryptedText, at secrets.Place) error { return e.Open(db.keys, at) })
}
