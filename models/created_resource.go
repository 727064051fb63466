package models

import "context"

// createdResources records what the task of a handle creates. Without a task it does nothing.
type createdResources struct{ db *DB }

// record notes that the task created a row, and whether that is still incomplete.
func (c createdResources) record(ctx context.Context, prn string, incomplete bool) error {
	if c.db.task == nil {
		return nil
	}
	task := c.db.Task().TaskID
	// The UPDATE goes first, because a version or publication was recorded already when it was begun.
	n, err := affected(c.db.Bun().NewUpdate().Model((*CreatedResource)(nil)).Set("incomplete = ?", incomplete).
		Where("task_id = ?", task).Where("prn = ?", prn).Exec(ctx))
	if err != nil || n > 0 {
		return rowError(err, "created resource", prn)
	}
	row := &CreatedResource{ID: NewID(), Created: Now(), TaskID: task, PRN: prn, Incomplete: incomplete}
	_, err = c.db.Bun().NewInsert().Model(row).Exec(ctx)
	return rowError(err, "created resource", prn)
}

// forget removes the records of a row that is deleted, of all tasks.
func (c createdResources) forget(ctx context.Context, prn string) error {
	_, err := c.db.Bun().NewDelete().Model((*CreatedResource)(nil)).Where("prn = ?", prn).Exec(ctx)
	return rowError(err, "created resource", prn)
}

// RecordCreated notes that the task of db created the row with a PRN; without a task it does nothing.
func RecordCreated(ctx context.Context, db *DB, prn string) error {
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		return createdResources{tx.DB}.record(ctx, prn, false)
	})
}
