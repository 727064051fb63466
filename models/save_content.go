package models

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// ContentFile is one file of a unit that is being saved.
type ContentFile struct {
	RelativePath string
	ArtifactID   *uuid.UUID // nil while the bytes are at the remote
	ID           uuid.UUID  // of the ContentArtifact; set by SaveContents
}

// ContentWithFiles is a unit with its files, for [SaveContents].
type ContentWithFiles struct {
	Content AnyContent
	Files   []ContentFile
	Exists  bool // FindContents found it: only its files are saved
}

// SaveContents inserts units and their content artifacts in bulk. A unit whose natural key exists takes over the
// identity of the existing one; a file that so far was only at the remote gets its artifact. A file that has an
// artifact keeps it, unless the type is [Replaceable]. Afterwards every unit and file has its key. Concurrent calls
// with overlapping units neither fail nor deadlock.
//
// Errors: Invalid from a unit's Validate method, for a path that is not canonical or a key that is too long;
// [FileConflictError] if a file has other bytes, then its whole batch of 500 units is not saved; Exists if another
// unique key of the plugin's table is taken.
func SaveContents(ctx context.Context, db *DB, units []*ContentWithFiles) error {
	byType := map[*schema][]*ContentWithFiles{}
	var order []*schema
	for _, u := range units {
		s, err := db.registry.of(u.Content)
		if err != nil {
			return err
		}
		for _, f := range u.Files {
			// All paths are checked before the first batch: a bad path of a later unit must not leave the earlier units saved.
			if !ValidPath(f.RelativePath) {
				return invalidPath(f.RelativePath)
			}
		}
		if byType[s] == nil {
			order = append(order, s)
		}
		byType[s] = append(byType[s], u)
	}
	// Types have one order as well, for callers that save several within one transaction.
	slices.SortFunc(order, func(a, b *schema) int { return strings.Compare(a.name, b.name) })
	for _, s := range order {
		list := byType[s]
		err := eachBatch(ctx, db, len(list), func(ctx context.Context, tx *Tx, from, to int) error {
			var contents []AnyContent
			for _, u := range list[from:to] {
				if !u.Exists {
					contents = append(contents, u.Content)
				}
			}
			saver := contentSaver{table{s, tx.DB}}
			if err := saver.save(ctx, contents); err != nil {
				return err
			}
			return saver.saveFiles(ctx, list[from:to])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// NaturalKey returns the values of a unit's natural key in struct order.
func NaturalKey(db *DB, c AnyContent) ([]any, error) {
	s, err := db.registry.of(c)
	if err != nil {
		return nil, err
	}
	return s.natural.values(c), nil
}

// contentSaver saves units of one type and their files, within a transaction.
type contentSaver struct{ table }

// save is insert-or-get for at most batchSize units. Only new units get a row in the master's table.
func (s contentSaver) save(ctx context.Context, units []AnyContent) error {
	if len(units) == 0 {
		return nil
	}
	now := Now()
	keys := make([]string, len(units))
	first := make(map[string]AnyContent, len(units))
	for i, u := range units {
		if err := s.prepare(u, now); err != nil {
			return err
		}
		if keys[i] = s.natural.text(u); first[keys[i]] == nil {
			first[keys[i]] = u
		}
	}
	unique := make([]AnyContent, 0, len(first))
	// In the order of the keys, so that two savers of the same units wait for each other instead of deadlocking.
	for _, k := range slices.Sorted(maps.Keys(first)) {
		unique = append(unique, first[k])
	}
	var inserted []uuid.UUID
	// The own table goes first: it has the natural key, so RETURNING names the units that are new. The foreign key to the
	// master's row is checked at commit.
	_, err := s.db.Bun().NewInsert().Model(s.slice(unique)).ModelTableExpr("?", bun.Ident(s.own)).Column(s.ownCols...).
		On(onConflict(s.natural.columns())).Returning("pulp_id").Exec(ctx, &inserted)
	// ON CONFLICT names the natural key, so this is another unique key of the plugin's table.
	if sqldialect.IsUniqueViolation(err) {
		return &otherKeyError{table: s.own, cause: err}
	}
	if err != nil {
		return rowError(err, s.name, "bulk insert")
	}
	isNew := make(map[uuid.UUID]bool, len(inserted))
	for _, id := range inserted {
		isNew[id] = true
	}
	var fresh, old []AnyContent
	for _, u := range unique {
		if isNew[u.PulpID()] {
			fresh = append(fresh, u)
		} else {
			old = append(old, u)
		}
	}
	if fresh != nil {
		if err := s.insertMaster(ctx, s.slice(fresh)); err != nil {
			return rowError(err, s.name, "bulk insert")
		}
	}
	if err := s.adoptExisting(ctx, old); err != nil {
		return err
	}
	for i, u := range units {
		if f := first[keys[i]]; f != u {
			copyRow(u, f)
		}
	}
	return nil
}

// adoptExisting gives units the identity of the rows that exist.
func (s contentSaver) adoptExisting(ctx context.Context, old []AnyContent) error {
	if old == nil {
		return nil
	}
	found, err := contentFinder(s).find(ctx, old)
	if err != nil {
		return err
	}
	for _, u := range old {
		f := found[s.natural.text(u)]
		// The row was deleted after the insert had found it. The transaction runs again and then inserts it.
		if f == nil {
			return errVanished
		}
		copyRow(u, f)
	}
	return nil
}

// fileChange is a file that has another artifact than was given.
type fileChange struct {
	row          *ContentArtifact
	saved, given uuid.UUID
}

// saveFiles is insert-or-get for content artifacts. It gives an artifact to those whose bytes were only at the remote.
func (s contentSaver) saveFiles(ctx context.Context, units []*ContentWithFiles) error {
	rows, exists := filesOf(units)
	var arrived []*ContentArtifact
	var differ []fileChange
	u := &upsert[ContentArtifact]{
		what:     "content artifact",
		conflict: []string{"content_id", "relative_path"},
		key:      func(ca *ContentArtifact) string { return string(ca.ContentID[:]) + ca.RelativePath },
		base:     func(ca *ContentArtifact) *Base { return &ca.Base },
		exists:   func(ca *ContentArtifact) bool { return exists[ca.ContentID] },
		where: func(q *bun.SelectQuery, rows []*ContentArtifact) *bun.SelectQuery {
			ids := make([]uuid.UUID, len(rows))
			for i, r := range rows {
				ids[i] = r.ContentID
			}
			return q.Where("content_id IN (?)", bun.List(slices.Compact(ids)))
		},
		adopt: func(mine, existing *ContentArtifact) {
			want := mine.ArtifactID
			*mine = *existing
			switch {
			case want == nil || existing.ArtifactID != nil && *existing.ArtifactID == *want:
			// Publications hold the checksum of the saved bytes. A source that uses a name again must not replace them.
			case existing.ArtifactID != nil && !s.replace:
				differ = append(differ, fileChange{mine, *existing.ArtifactID, *want})
			default:
				mine.ArtifactID = want
				arrived = append(arrived, mine)
			}
		},
	}
	for chunk := range slices.Chunk(rows, batchSize) {
		if err := u.run(ctx, s.db, chunk); err != nil {
			return err
		}
	}
	if differ != nil {
		return s.conflictError(ctx, units, differ)
	}
	if err := s.giveArtifacts(ctx, arrived); err != nil {
		return err
	}
	i := 0
	for _, u := range units {
		for j := range u.Files {
			u.Files[j].ID = rows[i].ID
			i++
		}
	}
	return nil
}

// filesOf returns the files of units in order, and which units exist.
func filesOf(units []*ContentWithFiles) (rows []*ContentArtifact, exists map[uuid.UUID]bool) {
	exists = make(map[uuid.UUID]bool)
	for _, u := range units {
		for _, f := range u.Files {
			rows = append(rows, &ContentArtifact{
				ContentID: u.Content.PulpID(), ArtifactID: f.ArtifactID, RelativePath: f.RelativePath,
			})
		}
		if u.Exists {
			exists[u.Content.PulpID()] = true
		}
	}
	return rows, exists
}

// giveArtifacts writes the artifacts of content artifacts that exist. Unless the type is replaceable it fails with
// errVanished if one has an artifact by now.
func (s contentSaver) giveArtifacts(ctx context.Context, rows []*ContentArtifact) error {
	// VALUES has the order of the keys, so that two transactions with the same rows tend to wait for each other. After a
	// deadlock the transaction runs again.
	slices.SortFunc(rows, func(a, b *ContentArtifact) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	kind := s.db.Conn().Kind
	id := uuidType(kind)
	for chunk := range slices.Chunk(rows, batchSize) {
		args := []any{Now()}
		for _, ca := range chunk {
			args = append(args, ca.ID, *ca.ArtifactID)
		}
		// artifact_id is compared again: another transaction may have set it since the row was read.
		res, err := s.db.Bun().NewRaw(`UPDATE core_contentartifact SET artifact_id = v.column2, pulp_last_updated = ?
			FROM (`+kind.Values(len(chunk), id, id)+`) AS v WHERE pulp_id = v.column1
			AND (artifact_id IS NULL OR ?)`, append(args, s.replace)...).Exec(ctx)
		if err != nil {
			return rowError(err, "content artifact", "bulk update")
		}
		// distinct, because a row that is given twice is updated and counted once.
		if n, err := res.RowsAffected(); !s.replace && (err != nil || n < int64(len(distinct(chunk)))) {
			return errors.Join(err, errVanished)
		}
	}
	return nil
}

// distinct returns rows, which are in the order of their keys, without doubles.
func distinct(rows []*ContentArtifact) []*ContentArtifact {
	return slices.CompactFunc(slices.Clone(rows), func(a, b *ContentArtifact) bool { return a.ID == b.ID })
}

// copyRow makes dst a copy of src, a row of the same Go type.
func copyRow(dst, src AnyContent) {
	reflect.ValueOf(dst).Elem().Set(reflect.ValueOf(src).Elem())
}
