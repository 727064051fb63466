package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
// artifact keeps it, unless the type is [Replaceable]. Afterwards every unit and file has its key. Concurrent calls with overlapping units neither fail nor deadlock.
//
// Errors: Invalid from a unit's Validate method, for a path that is not canonical or a key that is too long;
// [FileConflictError] if a file has other bytes, then nothing of its batch of 500 units is saved; Exists if another
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
			if !ValidPath(f.RelativePath) {
				return invalidPath(f.RelativePath)
			}
		}
		if byType[s] == nil {
			order = append(order, s)
		}
		byType[s] = append(byType[s], u)
	}
	slices.SortFunc(order, func(a, b *schema) int { return strings.Compare(a.name, b.name) })
	for _, s := range order {
		list := byType[s]
		err := db.inBatches(ctx, len(list), func(ctx context.Context, tx *Tx, from, to int) error {
			var contents []AnyContent
			for _, u := range list[from:to] {
				if !u.Exists {
					contents = append(contents, u.Content)
				}
			}
			if err := tx.saveContents(ctx, s, contents); err != nil {
				return err
			}
			return tx.saveFiles(ctx, s, list[from:to])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// FindContents looks for units by their natural keys and gives those that exist the identity of the existing row. It
// returns for each unit whether it exists.
func FindContents(ctx context.Context, db *DB, units []AnyContent) ([]bool, error) {
	exists := make([]bool, len(units))
	byType := map[*schema][]int{}
	for i, u := range units {
		s, err := db.registry.of(u)
		if err != nil {
			return nil, err
		}
		byType[s] = append(byType[s], i)
	}
	for s, indexes := range byType {
		for chunk := range slices.Chunk(indexes, batchSize) {
			batch := make([]AnyContent, len(chunk))
			for i, at := range chunk {
				batch[i] = units[at]
			}
			found, err := db.findContents(ctx, s, batch)
			if err != nil {
				return nil, err
			}
			for i, at := range chunk {
				if f := found[s.naturalKey(batch[i])]; f != nil {
					copyRow(units[at], f)
					exists[at] = true
				}
			}
		}
	}
	return exists, nil
}

// NaturalKey returns the values of a unit's natural key in struct order.
func (db *DB) NaturalKey(c AnyContent) ([]any, error) {
	s, err := db.registry.of(c)
	if err != nil {
		return nil, err
	}
	return s.naturalValues(c), nil
}

// saveContents is insert-or-get for units of one type. The detail row goes first, because it carries the natural key;
// only the units it was new for get a master row. The foreign key between the two is checked at commit.
func (tx *Tx) saveContents(ctx context.Context, s *schema, units []AnyContent) error {
	if len(units) == 0 {
		return nil
	}
	now := Now()
	keys := make([]string, len(units))
	first := make(map[string]AnyContent, len(units))
	for i, u := range units {
		if err := tx.prepare(s, u, now); err != nil {
			return err
		}
		if keys[i] = s.naturalKey(u); first[keys[i]] == nil {
			first[keys[i]] = u
		}
	}
	unique := make([]AnyContent, 0, len(first))
	for _, k := range slices.Sorted(maps.Keys(first)) {
		unique = append(unique, first[k])
	}
	var inserted []uuid.UUID
	_, err := tx.q.NewInsert().Model(s.slice(unique)).ModelTableExpr("?", bun.Ident(s.detail)).Column(s.detailCols...).
		On(onConflict(s.uniqueKey())).Returning("pulp_id").Exec(ctx, &inserted)
	if sqldialect.IsUniqueViolation(err) {
		return &otherKeyError{table: s.detail, cause: err}
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
		if err := tx.insertMaster(ctx, s, s.slice(fresh)); err != nil {
			return rowError(err, s.name, "bulk insert")
		}
	}
	if err := tx.adoptExisting(ctx, s, old); err != nil {
		return err
	}
	for i, u := range units {
		if f := first[keys[i]]; f != u {
			copyRow(u, f)
		}
	}
	return nil
}

func (tx *Tx) adoptExisting(ctx context.Context, s *schema, old []AnyContent) error {
	if old == nil {
		return nil
	}
	found, err := tx.findContents(ctx, s, old)
	if err != nil {
		return err
	}
	for _, u := range old {
		f := found[s.naturalKey(u)]
		if f == nil {
			return errVanished
		}
		copyRow(u, f)
	}
	return nil
}

// findContents reads units of one type by natural key and marks them as wanted.
func (db *DB) findContents(ctx context.Context, s *schema, units []AnyContent) (map[string]AnyContent, error) {
	ids, err := db.findContentIDs(ctx, s, units)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	dest := reflect.New(reflect.SliceOf(reflect.PointerTo(s.goType)))
	// Both tables are told the keys, so that neither is read as a whole to find what goes with the other.
	err = db.selectRows(s, dest.Interface()).Where("m.pulp_id IN (?)", bun.List(ids)).
		Where("d.pulp_id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil {
		return nil, rowError(err, s.name, "by natural key")
	}
	found := make(map[string]AnyContent, dest.Elem().Len())
	var stale []uuid.UUID
	now := Now()
	for i := range dest.Elem().Len() {
		u := dest.Elem().Index(i).Interface().(AnyContent)
		if err := db.unseal(s, u); err != nil {
			return nil, err
		}
		found[s.naturalKey(u)] = u
		if now.Sub(u.AsContent().TimestampOfInterest) > interestInterval {
			stale = append(stale, u.PulpID())
		}
	}
	return found, db.touchContents(ctx, stale)
}

// findContentIDs returns the keys of those units that exist. It asks for each unit by itself, in one statement, because
// a planner may find it cheaper to read the whole table if it is asked for all of them.
func (db *DB) findContentIDs(ctx context.Context, s *schema, units []AnyContent) ([]uuid.UUID, error) {
	words := db.conn.Kind.TemplateData()
	types := make([]string, len(s.natural))
	args := []any{bun.Ident(s.detail), db.domain.ID}
	var q strings.Builder
	q.WriteString("SELECT COALESCE((SELECT d.pulp_id FROM ? AS d WHERE d.pulp_domain_id = ?")
	for i, f := range s.natural {
		types[i] = columnOf(f).in(words)
		fmt.Fprintf(&q, " AND d.? = k.column%d", i+1)
		args = append(args, bun.Ident(f.Column))
	}
	q.WriteString("), ?) FROM (" + db.conn.Kind.Values(len(units), types...) + ") AS k")
	args = append(args, uuid.Nil)
	for _, u := range units {
		args = append(args, s.naturalValues(u)...)
	}
	var ids []uuid.UUID
	if err := db.q.NewRaw(q.String(), args...).Scan(ctx, &ids); err != nil {
		return nil, rowError(err, s.name, "by natural key")
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return slices.DeleteFunc(slices.Compact(ids), func(id uuid.UUID) bool { return id == uuid.Nil }), nil
}

func (db *DB) touchContents(ctx context.Context, ids []uuid.UUID) error {
	if ids == nil {
		return nil
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	return db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewUpdate().TableExpr("core_content").Set("timestamp_of_interest = ?", Now()).
			Where("pulp_id IN (?)", bun.List(ids)).Exec(ctx)
		return rowError(err, "content", "touch")
	})
}

// fileChange is a file that has another artifact than was given.
type fileChange struct {
	row          *ContentArtifact
	saved, given uuid.UUID
}

// saveFiles is insert-or-get for content artifacts, and gives those that were only at the remote their artifact.
func (tx *Tx) saveFiles(ctx context.Context, s *schema, units []*ContentWithFiles) error {
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
			case existing.ArtifactID != nil && !s.replace:
				differ = append(differ, fileChange{mine, *existing.ArtifactID, *want})
			default:
				mine.ArtifactID = want
				arrived = append(arrived, mine)
			}
		},
	}
	for chunk := range slices.Chunk(rows, batchSize) {
		if err := u.run(ctx, tx.DB, chunk); err != nil {
			return err
		}
	}
	if differ != nil {
		return tx.conflictError(ctx, s, units, differ)
	}
	if err := tx.giveArtifacts(ctx, arrived, s.replace); err != nil {
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

// giveArtifacts writes the artifacts of content artifacts that exist. Without replace it leaves alone those that have
// one by now, and asks for another run.
func (tx *Tx) giveArtifacts(ctx context.Context, rows []*ContentArtifact, replace bool) error {
	slices.SortFunc(rows, func(a, b *ContentArtifact) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	id := tx.conn.Kind.TemplateData()["uuid"].(string)
	for chunk := range slices.Chunk(rows, batchSize) {
		args := []any{Now()}
		for _, ca := range chunk {
			args = append(args, ca.ID, *ca.ArtifactID)
		}
		res, err := tx.q.NewRaw(`UPDATE core_contentartifact SET artifact_id = v.column2, pulp_last_updated = ?
			FROM (`+tx.conn.Kind.Values(len(chunk), id, id)+`) AS v WHERE pulp_id = v.column1
			AND (artifact_id IS NULL OR ?)`, append(args, replace)...).Exec(ctx)
		if err != nil {
			return rowError(err, "content artifact", "bulk update")
		}
		if n, err := res.RowsAffected(); !replace && (err != nil || n < int64(len(distinct(chunk)))) {
			return errors.Join(err, errVanished)
		}
	}
	return nil
}

// distinct returns rows, which are in the order of their keys, without doubles.
func distinct(rows []*ContentArtifact) []*ContentArtifact {
	return slices.CompactFunc(slices.Clone(rows), func(a, b *ContentArtifact) bool { return a.ID == b.ID })
}

// slice returns a pointer to a slice of the rows as their Go type, the form that bun wants.
func (s *schema) slice(rows []AnyContent) any {
	out := reflect.New(reflect.SliceOf(reflect.PointerTo(s.goType)))
	list := reflect.MakeSlice(out.Elem().Type(), len(rows), len(rows))
	for i, r := range rows {
		list.Index(i).Set(reflect.ValueOf(r))
	}
	out.Elem().Set(list)
	return out.Interface()
}

func (s *schema) naturalValues(c AnyContent) []any {
	v := reflect.ValueOf(c).Elem()
	values := make([]any, len(s.natural))
	for i, f := range s.natural {
		values[i] = v.FieldByIndex(f.Index).Interface()
	}
	return values
}

// naturalKey returns the natural key as one comparable text.
func (s *schema) naturalKey(c AnyContent) string {
	var b strings.Builder
	v := reflect.ValueOf(c).Elem()
	for _, f := range s.natural {
		if fv := v.FieldByIndex(f.Index); fv.Kind() == reflect.String {
			b.WriteString(fv.String())
		} else {
			fmt.Fprint(&b, fv.Interface())
		}
		b.WriteByte(0)
	}
	return b.String()
}

// copyRow makes dst a copy of src, a row of the same Go type.
func copyRow(dst, src AnyContent) {
	reflect.ValueOf(dst).Elem().Set(reflect.ValueOf(src).Elem())
}
