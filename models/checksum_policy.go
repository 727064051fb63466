package models

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// checkedPolicy is the list of allowed checksums that all artifacts were found to agree with.
type checkedPolicy struct {
	bun.BaseModel `bun:"table:core_checksumpolicy"`

	ID      int       `bun:"id,pk"` // 1, as there is one row
	Allowed string    `bun:"allowed"`
	Since   time.Time `bun:"since"`   // when the list was found to be another than before
	Checked time.Time `bun:"checked"` // when artifacts were compared with it last
}

// policySettles is how long after a change of the list the artifacts are compared once more: a process that was started
// with the old list may have saved artifacts since.
const policySettles = time.Hour

// RequireChecksums makes sure that all artifacts, of all domains, have the allowed digests and no others. It remembers
// the list that it found them to agree with. While the list stays the same, it costs one look-up. After a change it
// reads all artifacts, and does so once more in the first call that comes an hour later, because processes that were
// still running with the old list may have saved artifacts.
//
// Errors: Invalid if artifacts lack a digest or have another one. [FixChecksums] mends that.
func RequireChecksums(ctx context.Context, db *DB) error {
	var rows []*checkedPolicy
	if err := db.Bun().NewSelect().Model(&rows).Where("id = 1").Scan(ctx); err != nil {
		return rowError(err, "checksum policy", "read")
	}
	now, allowed := Now(), allowedList(db)
	next := &checkedPolicy{ID: 1, Allowed: allowed, Since: now, Checked: now}
	before := "" // the list to go back to
	if len(rows) > 0 {
		last := rows[0]
		if last.Allowed == allowed {
			settled := last.Since.Add(policySettles)
			if !last.Checked.Before(settled) || now.Before(settled) {
				return nil
			}
			next.Since = last.Since
		} else {
			before = ", or set it back to " + last.Allowed
		}
	}
	report, err := reportArtifacts(ctx, db)
	if err != nil {
		return err
	}
	if !report.OK() {
		return pulperr.Public(pulperr.Invalid, "the artifacts do not agree with ALLOWED_CONTENT_CHECKSUMS (%s): %s. Run the "+
			"command of this program that calls models.FixChecksums (fileserver fix-checksums)%s", allowed, report, before)
	}
	return db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewInsert().Model(next).On("CONFLICT (id) DO UPDATE").Set("allowed = EXCLUDED.allowed").
			Set("since = EXCLUDED.since").Set("checked = EXCLUDED.checked").Exec(ctx)
		return rowError(err, "checksum policy", "save")
	})
}

// allowedList returns the allowed algorithms as one text, strongest first.
func allowedList(db *DB) string {
	var names []string
	for _, a := range db.checksums.List() {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}
