package models

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// SaveRemoteArtifacts inserts where content artifacts can be fetched from, one row per content artifact and remote; a
// row that exists is brought up to date. Forbidden digests are left out.
//
// Errors: Unsupported (PLP0020) if a row has digests and none of them is allowed: such content cannot be verified.
func SaveRemoteArtifacts(ctx context.Context, db *DB, rows []*RemoteArtifact) error {
	for _, ra := range rows {
		allowed := db.checksums.Filter(ra.Digests)
		if allowed.IsZero() && !ra.IsZero() {
			return fmt.Errorf("models: remote artifact %q: %w", ra.SHA256, weakest(ra.Digests))
		}
		ra.Digests, ra.DomainID = allowed, db.domain.ID
	}
	var changed []*RemoteArtifact
	u := &upsert[RemoteArtifact]{
		what: "remote artifact",
		key:  func(ra *RemoteArtifact) string { return ra.ContentArtifactID.String() + ra.RemoteID.String() },
		base: func(ra *RemoteArtifact) *Base { return &ra.Base },
		where: func(q *bun.SelectQuery, rows []*RemoteArtifact) *bun.SelectQuery {
			ids := make([]uuid.UUID, len(rows))
			for i, r := range rows {
				ids[i] = r.ContentArtifactID
			}
			return q.Where("content_artifact_id IN (?)", bun.List(ids))
		},
		adopt: func(mine, existing *RemoteArtifact) {
			same := mine.URL == existing.URL && mine.Digests == existing.Digests && sameSize(mine.Size, existing.Size)
			mine.Base = existing.Base
			if !same {
				changed = append(changed, mine)
			}
		},
	}
	return db.inBatches(ctx, len(rows), func(tx *Tx, from, to int) error {
		changed = nil
		if err := u.run(ctx, tx.DB, rows[from:to]); err != nil {
			return err
		}
		for _, ra := range changed {
			ra.Updated = Now()
			if _, err := tx.q.NewUpdate().Model(ra).ExcludeColumn("pulp_created").WherePK().Exec(ctx); err != nil {
				return rowError(err, "remote artifact", ra.ID.String())
			}
		}
		return nil
	})
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
	for chunk := range slices.Chunk(contentIDs, batchSize) {
		var rows []*ContentArtifact
		err := db.q.NewSelect().Model(&rows).Where("content_id IN (?)", bun.List(chunk)).Order("relative_path").Scan(ctx)
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
