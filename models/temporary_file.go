package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// NewTemporaryFile stores the bytes of r and the row that owns them. With expect the bytes are verified first; on any
// error neither bytes nor a row are left. Mirrors PulpTemporaryFile(file).save() and
// PulpTemporaryFile.init_and_validate.
//
// Errors: hashlib's DigestMismatchError, SizeMismatchError and UnsupportedError; Unavailable from the store.
func NewTemporaryFile(ctx context.Context, db *DB, store *storage.Store, r io.Reader, expect *hashlib.Expect,
) (*TemporaryFile, error) {
	tf := &TemporaryFile{DomainID: db.domain.ID}
	tf.stamp(Now())
	// Bytes before the row: after a crash, the sweep removes bytes without a row, but a row without bytes would stay.
	obj, err := store.PutTemp(ctx, tf.ID, r, expect)
	if err != nil {
		return nil, fmt.Errorf("models: temporary file: %w", err)
	}
	if err := tf.save(ctx, db, store, obj); err != nil {
		return nil, err
	}
	return tf, nil
}

// CommitTemporaryFile is [NewTemporaryFile] for bytes that were written already: it commits them as a temporary file.
// On an error the caller still ends the writer.
//
// Errors: as NewTemporaryFile.
func CommitTemporaryFile(ctx context.Context, db *DB, store *storage.Store, w *storage.Writer, expect *hashlib.Expect,
) (*TemporaryFile, error) {
	err := expect.Validate(db.Checksums())
	if err == nil {
		err = expect.Check(w.Digests(), w.Size())
	}
	if err != nil {
		return nil, fmt.Errorf("models: temporary file: %w", err)
	}
	tf := &TemporaryFile{DomainID: db.domain.ID}
	tf.stamp(Now())
	obj, err := w.CommitTemp(tf.ID)
	if err != nil {
		return nil, fmt.Errorf("models: temporary file: %w", err)
	}
	if err := tf.save(ctx, db, store, obj); err != nil {
		return nil, err
	}
	return tf, nil
}

// save inserts the row of bytes that are stored, or else removes them.
func (t *TemporaryFile) save(ctx context.Context, db *DB, store *storage.Store, obj storage.Object) error {
	t.Size, t.Digests = obj.Size, obj.Digests
	err := db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewInsert().Model(t).Exec(ctx)
		return rowError(err, "temporary file", t.ID.String())
	})
	if err != nil {
		// If this fails too, the sweep removes the bytes.
		_ = store.Delete(context.WithoutCancel(ctx), t.Key())
	}
	return err
}

// Open returns the bytes. The caller closes the reader.
//
// Errors: NotFound if the file was deleted or has expired; Unavailable.
func (t *TemporaryFile) Open(ctx context.Context, store *storage.Store) (*storage.Reader, error) {
	return store.Open(ctx, t.Key())
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
		deleteBytes(ctx, tx, store, t.Key())
		return nil
	})
}

// SweepTemporaryFiles deletes temporary files made before a time, in every domain, and returns how many.
func SweepTemporaryFiles(ctx context.Context, db *DB, store *storage.Store, before time.Time) (int, error) {
	n := 0
	for {
		var rows []*TemporaryFile
		// Always the first page, because the rows of the page before are deleted.
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
//
// Errors: those of InitAndValidate; [BytesGoneError] if the bytes were removed meanwhile and r is no io.Seeker, from
// which they could be stored again.
func NewArtifact(ctx context.Context, db *DB, store *storage.Store, r io.Reader, expect *hashlib.Expect,
) (*Artifact, error) {
	seeker, again := r.(io.Seeker)
	var start int64
	if again {
		var err error
		if start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			// An *os.File has the method, and fails if it is a pipe.
			again = false
		}
	}
	for i := 1; ; i++ {
		a, err := InitAndValidate(ctx, store, r, expect)
		if err != nil {
			return nil, err
		}
		if err = SaveArtifacts(ctx, db, store, []*Artifact{a}); err == nil {
			return a, nil
		}
		// Another process has removed the bytes between the two calls. They are stored again if r can be read again.
		if !again || i == storeAttempts || !bytesGone(err) {
			return nil, err
		}
		if _, err := seeker.Seek(start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("models: artifact: %w", err)
		}
	}
}

// ArtifactFromFile is [NewArtifact] for a file of this machine, such as one that a task has downloaded. The file stays
// where it is.
//
// Errors: those of NewArtifact; Unavailable if the file cannot be read.
func ArtifactFromFile(ctx context.Context, db *DB, store *storage.Store, path string) (*Artifact, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("models: artifact from a file: %w: %w", pulperr.Unavailable, err)
	}
	defer f.Close()
	return NewArtifact(ctx, db, store, f, nil)
}

// storeAttempts is how often bytes are stored that are removed each time before their row is saved.
const storeAttempts = 3

func bytesGone(err error) bool {
	_, ok := errors.AsType[*BytesGoneError](err)
	return ok
}

// ArtifactFromTemporaryFile turns a temporary file into a saved artifact without copying its bytes (a hard link) where
// the store can rename, and deletes the temporary file. On error the temporary file stays, for the caller to delete or
// to try again. Mirrors Artifact.from_pulp_temporary_file.
func ArtifactFromTemporaryFile(ctx context.Context, db *DB, store *storage.Store, tf *TemporaryFile,
) (*Artifact, error) {
	for i := 1; ; i++ {
		// Promote keeps the temporary file, so a transaction that is rolled back loses no bytes.
		obj, err := store.Promote(ctx, storage.Object{Key: tf.Key(), Size: tf.Size, Digests: tf.Digests})
		if err != nil {
			return nil, fmt.Errorf("models: artifact from temporary file %s: %w", tf.ID, err)
		}
		a := &Artifact{Size: obj.Size, Digests: obj.Digests}
		err = db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
			if err := SaveArtifacts(ctx, tx.DB, store, []*Artifact{a}); err != nil {
				return err
			}
			return tf.Delete(ctx, tx.DB, store)
		})
		if err == nil {
			return a, nil
		}
		if i == storeAttempts || !bytesGone(err) {
			return nil, err
		}
	}
}

// deleteBytes removes an object once the transaction has committed. If that fails the bytes are without a row, which
// is harmless: it is logged, and [StraySweep] removes them.
func deleteBytes(ctx context.Context, tx *Tx, store *storage.Store, key string) {
	log := tx.log
	tx.AfterCommit(func() {
		// The row is gone. The end of the request must not leave the bytes to the sweep.
		if err := store.Delete(context.WithoutCancel(ctx), key); err != nil {
			log.WarnContext(ctx, "bytes without a row could not be deleted", "key", key, "err", err)
		}
	})
}
