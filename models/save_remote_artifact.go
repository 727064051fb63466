package models

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// SaveRemoteArtifacts inserts where content artifacts can be fetched from, one row per content artifact and remote; a
// row that exists is brought up to date and counts as not failed. Forbidden digests are left out.
//
// Errors: Invalid if there is no such remote in the domain; Unsupported (PLP0020) if a row has digests and none of them
// is allowed: such content cannot be verified.
func SaveRemoteArtifacts(ctx context.Context, db *DB, rows []*RemoteArtifact) error {
	for _, ra := range rows {
		allowed := db.checksums.Filter(ra.Digests)
		// If none of the digests may be computed, bytes that are downloaded could not be verified.
		if allowed.IsZero() && !ra.IsZero() {
			return fmt.Errorf("models: remote artifact %q: %w", ra.SHA256, weakest(ra.Digests))
		}
		ra.Digests, ra.DomainID = allowed, db.domain.ID
	}
	var changed []*RemoteArtifact
	u := &upsert[RemoteArtifact]{
		what:     "remote artifact",
		conflict: []string{"content_artifact_id", "remote_id"},
		key:      func(ra *RemoteArtifact) string { return string(ra.ContentArtifactID[:]) + string(ra.RemoteID[:]) },
		base:     func(ra *RemoteArtifact) *Base { return &ra.Base },
		// Most syncs change little, and a look-up of a missing row is much cheaper than the insert of an existing one.
		exists: func(*RemoteArtifact) bool { return true },
		where: func(q *bun.SelectQuery, rows []*RemoteArtifact) *bun.SelectQuery {
			ids := make([]uuid.UUID, len(rows))
			for i, r := range rows {
				ids[i] = r.ContentArtifactID
			}
			// No index on the remote: a planner without statistics takes it for selective and reads all rows of the remote.
			return q.Where("content_artifact_id IN (?)", bun.List(slices.Compact(ids))).
				Where(unindexedIf("remote_id IN (?)"), bun.List(remotesOf(rows)))
		},
		adopt: func(mine, existing *RemoteArtifact) {
			// A sync that declares the source again ends its cool-down: users sync again after the upstream was repaired.
			same := mine.URL == existing.URL && mine.Digests == existing.Digests && sameSize(mine.Size, existing.Size) &&
				existing.FailedAt == nil
			mine.Base = existing.Base
			if !same {
				changed = append(changed, mine)
			}
		},
	}
	return eachBatch(ctx, db, len(rows), func(ctx context.Context, tx *Tx, from, to int) error {
		// A run that was rolled back may have left rows here.
		changed = nil
		// The rows have no foreign key to the remote. Without the lock, rows that are inserted after its deletion would stay.
		if err := (rowHolder{tx}).remotes(ctx, remotesOf(rows[from:to])); err != nil {
			return err
		}
		if err := u.run(ctx, tx.DB, rows[from:to]); err != nil {
			return err
		}
		return updateRemoteArtifacts(ctx, tx, changed)
	})
}

// remotesOf returns the remotes of rows, each once.
func remotesOf(rows []*RemoteArtifact) []uuid.UUID {
	set := map[uuid.UUID]bool{}
	for _, ra := range rows {
		set[ra.RemoteID] = true
	}
	return slices.Collect(maps.Keys(set))
}

// updateRemoteArtifacts updates at most batchSize existing rows. If a row is given twice, the later one counts.
func updateRemoteArtifacts(ctx context.Context, tx *Tx, rows []*RemoteArtifact) error {
	if len(rows) == 0 {
		return nil
	}
	// If VALUES held a row twice, the UPDATE would use either of the two.
	last := make(map[uuid.UUID]*RemoteArtifact, len(rows))
	for _, ra := range rows {
		last[ra.ID] = ra
	}
	id := uuidType(tx.conn.Kind)
	now := Now()
	args := []any{now}
	// VALUES has the order of the keys, so that two transactions with the same rows tend to wait for each other. After a
	// deadlock the transaction runs again.
	for _, key := range slices.SortedFunc(maps.Keys(last), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) {
		ra := last[key]
		ra.Updated = now
		args = append(args, ra.ID, ra.URL, ra.Size, text(ra.MD5), text(ra.SHA1), text(ra.SHA224), text(ra.SHA256),
			text(ra.SHA384), text(ra.SHA512))
	}
	values := tx.conn.Kind.Values(len(last), id, "TEXT", "BIGINT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT")
	_, err := tx.q.NewRaw(`UPDATE core_remoteartifact SET url = v.column2, size = v.column3, md5 = v.column4,
		sha1 = v.column5, sha224 = v.column6, sha256 = v.column7, sha384 = v.column8, sha512 = v.column9,
		failed_at = NULL, pulp_last_updated = ? FROM (`+values+`) AS v WHERE pulp_id = v.column1`, args...).Exec(ctx)
	return rowError(err, "remote artifact", "bulk update")
}

// text returns a digest as a column wants it: NULL if it is not known.
func text(digest string) *string {
	if digest == "" {
		return nil
	}
	return &digest
}

func weakest(d hashlib.Digests) error {
	var last hashlib.Algorithm
	for a := range d.All() {
		last = a
	}
	return &hashlib.UnsupportedError{Algorithm: last}
}

func sameSize(a, b *int64) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// ContentArtifacts returns the content artifacts of units, by unit.
func ContentArtifacts(ctx context.Context, db *DB, contentIDs []uuid.UUID) (map[uuid.UUID][]*ContentArtifact, error) {
	out := make(map[uuid.UUID][]*ContentArtifact, len(contentIDs))
	kind := db.conn.Kind
	join := kind.JoinEach("core_contentartifact", "ca", "ca.content_id = u.column1")
	contentIDs = slices.Clone(contentIDs)
	slices.SortFunc(contentIDs, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	for chunk := range slices.Chunk(slices.Compact(contentIDs), batchSize) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		units := kind.Values(len(chunk), uuidType(kind))
		var rows []*ContentArtifact
		err := db.q.NewRaw(`SELECT ca.* FROM (`+units+`) AS u `+join+` ORDER BY ca.relative_path`, args...).Scan(ctx, &rows)
		if err != nil {
			return nil, rowError(err, "content artifacts", "of units")
		}
		for _, ca := range rows {
			out[ca.ContentID] = append(out[ca.ContentID], ca)
		}
	}
	return out, nil
}

func invalidPath(p string) error {
	return pulperr.Field("relative_path", "Relative path is not in canonical form. %s", p)
}
