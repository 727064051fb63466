package models

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// NewTemporaryFile stores the bytes of r and the row that owns them. With expect the bytes are verified first; on any
// error nothing is left behind. Mirrors PulpTemporaryFile(file).save() and PulpTemporaryFile.init_and_validate.
//
// Errors: hashlib's DigestMismatchError, SizeMismatchError and UnsupportedError; Unavailable from the store.
func NewTemporaryFile(ctx context.Context, db *DB, store *storage.Store, r io.Reader, expect *hashlib.Expect,
) (*TemporaryFile, error) {
	tf := &TemporaryFile{DomainID: db.domain.ID}
	tf.stamp(Now())
	obj, err := store.PutTemp(ctx, tf.ID, r, expect)
	if err != nil {
		return nil, fmt.Errorf("models: temporary file: %w", err)
	}
	tf.Size, tf.Digests = obj.Size, obj.Digests
	err = db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewInsert().Model(tf).Exec(ctx)
		return rowError(err, "temporary file", tf.ID.String())
	})
	if err != nil {
		_ = store.Delete(context.WithoutCancel(ctx), tf.Key())
		return nil, err
	}
	return tf, nil
}

// GetTemporaryFile returns the row of a temporary file.
//
// Errors: NotFound.
func GetTemporaryFile(ctx context.Context, db *DB, id uuid.UUID) (*TemporaryFile, error) {
	tf := new(TemporaryFile)
	err := db.q.NewSelect().Model(tf).Where("pulp_id = ?", id).Where("pulp_domain_id = ?", db.domain.ID).Scan(ctx)
	if err != nil {
		return nil, rowError(err, "temporary file", id.String())
	}
	return tf, nil
}

// Delete removes the row and, once that is committed, the bytes. A rollback keeps both.
func (t *TemporaryFile) Delete(ctx context.Context, db *DB, store *storage.Store) error {
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.q.NewDelete().Model(t).WherePK().Exec(ctx); err != nil {
			return rowError(err, "temporary file", t.ID.String())
		}
		tx.deleteBytes(ctx, store, t.Key())
		return nil
	})
}

// SweepTemporaryFiles deletes temporary files made before a time, in every domain, and returns how many.
func SweepTemporaryFiles(ctx context.Context, db *DB, store *storage.Store, before time.Time) (int, error) {
	n := 0
	for {
		var rows []*TemporaryFile
		err := db.q.NewSelect().Model(&rows).Where("pulp_created < ?", before).OrderExpr("pulp_id").Limit(batchSize).Scan(ctx)
		if err != nil || len(rows) == 0 {
			return n, rowError(err, "temporary file", "sweep")
		}
		for _, tf := range rows {
			if err := tf.Delete(ctx, db, store); err != nil {
				return n, err
			}
			n++
		}
	}
}

// InitAndValidate stores the bytes of r as an artifact's, verifies them, and returns the artifact without saving its
// row: [SaveArtifacts] does. Mirrors Artifact.init_and_validate.
//
// Errors: hashlib's DigestMismatchError, SizeMismatchError and UnsupportedError; Unavailable from the store.
func InitAndValidate(ctx context.Context, store *storage.Store, r io.Reader, expect *hashlib.Expect,
) (*Artifact, error) {
	obj, err := store.PutArtifact(ctx, r, expect)
	if err != nil {
		return nil, fmt.Errorf("models: artifact: %w", err)
	}
	return &Artifact{Size: obj.Size, Digests: obj.Digests}, nil
}

// NewArtifact is [InitAndValidate] followed by saving: the artifact is returned with its row, which may have existed.
func NewArtifact(ctx context.Context, db *DB, store *storage.Store, r io.Reader, expect *hashlib.Expect,
) (*Artifact, error) {
	a, err := InitAndValidate(ctx, store, r, expect)
	if err != nil {
		return nil, err
	}
	return a, SaveArtifacts(ctx, db, []*Artifact{a})
}

// ArtifactFromTemporaryFile turns a temporary file into a saved artifact without copying its bytes (a hard link) where
// the store can rename, and deletes the temporary file. On error the temporary file stays, for the caller to delete or
// to try again. Mirrors Artifact.from_pulp_temporary_file.
func ArtifactFromTemporaryFile(ctx context.Context, db *DB, store *storage.Store, tf *TemporaryFile,
) (*Artifact, error) {
	obj, err := store.Promote(ctx, storage.Object{Key: tf.Key(), Size: tf.Size, Digests: tf.Digests})
	if err != nil {
		return nil, fmt.Errorf("models: artifact from temporary file %s: %w", tf.ID, err)
	}
	a := &Artifact{Size: obj.Size, Digests: obj.Digests}
	err = db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := SaveArtifacts(ctx, tx.DB, []*Artifact{a}); err != nil {
			return err
		}
		return tf.Delete(ctx, tx.DB, store)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Delete removes an artifact and, once that is committed, its bytes. Somebody who stores the same bytes at that moment
// may find them, and then lose them: delete only artifacts whose TimestampOfInterest is long past.
//
// Errors: Conflict if content uses it, NotFound.
func (a *Artifact) Delete(ctx context.Context, db *DB, store *storage.Store) error {
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		res, err := tx.q.NewDelete().Model(a).WherePK().Where("pulp_domain_id = ?", db.domain.ID).Exec(ctx)
		if err != nil {
			return rowError(err, "artifact", a.ID.String())
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return fmt.Errorf("models: artifact %s: %w", a.ID, pulperr.NotFound)
		}
		tx.deleteBytes(ctx, store, a.Key())
		return nil
	})
}

// deleteBytes removes an object once the transaction has committed. If that fails the bytes are without a row, which
// is harmless; it is logged.
func (tx *Tx) deleteBytes(ctx context.Context, store *storage.Store, key string) {
	log := tx.log
	tx.AfterCommit(func() {
		if err := store.Delete(context.WithoutCancel(ctx), key); err != nil {
			log.WarnContext(ctx, "bytes without a row could not be deleted", "key", key, "err", err)
		}
	})
}
