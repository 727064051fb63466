package models

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// Validator is implemented by rows that check themselves before they are saved, whoever saves them: the API, a sync
// or a plugin's own code.
type Validator interface {
	// Validate returns nil, or an error of kind Invalid, preferably made with pulperr.Field.
	Validate() error
}

// Create inserts a row of any type; see [Type.Create].
//
// Errors: Exists; Invalid, also for a distribution whose base path overlaps with another one.
func (db *DB) Create(ctx context.Context, row Row) error {
	s, err := db.registry.of(row)
	if err != nil {
		return err
	}
	if err := db.prepare(s, row, Now()); err != nil {
		return err
	}
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if d, ok := row.(AnyDistribution); ok {
			if err := tx.claimBasePath(ctx, d.AsDistribution()); err != nil {
				return err
			}
		}
		if err := tx.insertMaster(ctx, s, row); err != nil {
			return writeError(err, s.name, string(s.master))
		}
		if s.detail != "" {
			_, err := tx.q.NewInsert().Model(row).ModelTableExpr("?", bun.Ident(s.detail)).
				Column(s.detailCols...).Exec(ctx)
			if err != nil {
				return writeError(err, s.name, string(s.master))
			}
		}
		switch row := row.(type) {
		case AnyRepository:
			return tx.createVersionZero(ctx, row.AsRepository())
		case AnyPublication:
			return tx.placePublication(ctx, row.PulpID())
		}
		return nil
	})
}

// Update writes columns of a row of any type; see [Type.Update].
//
// Errors: NotFound, Exists; Invalid as for [DB.Create].
func (db *DB) Update(ctx context.Context, row Row, columns ...string) error {
	s, err := db.registry.of(row)
	if err != nil {
		return err
	}
	if len(columns) == 0 {
		for _, f := range s.fields {
			columns = append(columns, f.Column)
		}
	}
	if err := db.check(s, row); err != nil {
		return err
	}
	row.base().Updated = Now()
	var master, detail []string
	for _, c := range columns {
		switch {
		case c == "pulp_id" || c == "pulp_domain_id" || c == "pulp_type" || c == "pulp_created":
		case c == "next_version": // moves with the versions; a stale row must not move it back
		case slices.Contains(s.masterCols, c):
			master = append(master, c)
		case slices.Contains(s.detailCols, c):
			detail = append(detail, c)
		default:
			return fmt.Errorf("models: update %s %s: there is no column %q: %w", s.name, s.master, c, pulperr.Invalid)
		}
	}
	if !slices.Contains(master, "pulp_last_updated") {
		master = append(master, "pulp_last_updated")
	}
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if d, ok := row.(AnyDistribution); ok && slices.Contains(master, "base_path") {
			if err := tx.claimBasePath(ctx, d.AsDistribution()); err != nil {
				return err
			}
		}
		if err := tx.updateTable(ctx, s, s.master.Table(), row, master); err != nil || detail == nil {
			return err
		}
		return tx.updateTable(ctx, s, s.detail, row, detail)
	})
}

func (tx *Tx) updateTable(ctx context.Context, s *schema, table string, row Row, columns []string) error {
	res, err := tx.q.NewUpdate().Model(row).ModelTableExpr("? AS m", bun.Ident(table)).Column(columns...).
		Where("m.pulp_id = ?", row.PulpID()).Where("m.pulp_domain_id = ?", tx.domain.ID).Exec(ctx)
	if err != nil {
		return writeError(err, s.name, row.PulpID().String())
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("models: %s %s %s: %w", s.name, s.master, row.PulpID(), pulperr.NotFound)
	}
	return nil
}

// Delete removes a row of any type, a repository with its versions and memberships, a remote with what is known of its
// files, a publication with the files made for it. The row disappears at once and the rest in batches, so what that
// takes grows with them: it is work for a task.
//
// Errors: NotFound; Conflict if something that must not disappear still refers to it; Locked for a repository that is
// being changed.
func (db *DB) Delete(ctx context.Context, row Row) error {
	s, err := db.registry.of(row)
	if err != nil {
		return err
	}
	return db.deleteWhole(ctx, s, row.PulpID())
}

func (db *DB) deleteWhole(ctx context.Context, s *schema, id uuid.UUID) error {
	switch s.master {
	case RepositoryMaster:
		return db.deleteRepository(ctx, s, id)
	case RemoteMaster, PublicationMaster:
		return db.deleteOwner(ctx, s, id)
	default:
		return db.deleteRow(ctx, s, id)
	}
}

func (db *DB) deleteRow(ctx context.Context, s *schema, id uuid.UUID) error {
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		// The detail row goes with its master, by ON DELETE CASCADE.
		res, err := tx.q.NewDelete().TableExpr("?", bun.Ident(s.master.Table())).Where("pulp_id = ?", id).
			Where("pulp_domain_id = ?", tx.domain.ID).Where("pulp_type = ?", s.name).Exec(ctx)
		if err != nil {
			return rowError(err, s.name, id.String())
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return fmt.Errorf("models: %s %s %s: %w", s.name, s.master, id, pulperr.NotFound)
		}
		_, err = tx.q.NewDelete().TableExpr("core_createdresource").Where("prn = ?", s.prn(id)).Exec(ctx)
		return rowError(err, "created resource of", id.String())
	})
}

// prepare makes a row ready to be inserted.
func (db *DB) prepare(s *schema, row Row, now time.Time) error {
	row.base().stamp(now)
	m := row.model()
	m.DomainID, m.Type = db.domain.ID, s.name
	switch r := row.(type) {
	case AnyContent:
		c := r.AsContent()
		if c.TimestampOfInterest.IsZero() {
			c.TimestampOfInterest = now
		}
		if c.Labels == nil {
			c.Labels = Labels{}
		}
	case AnyRemote:
		if c := r.AsRemote(); c.Policy == "" {
			c.Policy = Immediate
		}
	}
	return db.check(s, row)
}

// check validates a row and seals its secrets.
func (db *DB) check(s *schema, row Row) error {
	if err := defaults(row); err != nil {
		return err
	}
	if err := s.checkStrings(row); err != nil {
		return err
	}
	if v, ok := row.(Validator); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("models: %s %s: %w", s.name, s.master, err)
		}
	}
	return s.secretsOf(row, func(e *secrets.EncryptedText, at secrets.Place) error { return e.Seal(db.keys, at) })
}

func (db *DB) insertMaster(ctx context.Context, s *schema, row any) error {
	_, err := db.q.NewInsert().Model(row).ModelTableExpr("?", bun.Ident(s.master.Table())).
		Column(s.masterCols...).Exec(ctx)
	return err
}

// HasNUL reports whether text contains a NUL byte, which Postgres cannot store.
func HasNUL(text string) bool { return strings.IndexByte(text, 0) >= 0 }
