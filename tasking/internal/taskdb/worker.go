package taskdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// InsertWorkers stores the rows of a process's roles.
func InsertWorkers(ctx context.Context, db *models.DB, rows []*models.Worker) error {
	return db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewInsert().Model(&rows).Exec(ctx)
		return err
	})
}

// Beat counts heartbeats up and returns the workers that have a row. One without a row has been declared dead.
func Beat(ctx context.Context, c Conn, workers []uuid.UUID) (alive []uuid.UUID, err error) {
	err = c.NewRaw(`UPDATE core_worker SET beat = beat + 1, last_heartbeat = ?now, pulp_last_updated = ?now
		WHERE pulp_id IN (?ids) RETURNING pulp_id`, sqldialect.Named{"ids": bun.List(workers), "now": c.Now()}).
		Scan(ctx, &alive)
	return alive, err
}

// Workers returns all workers, the oldest first.
func Workers(ctx context.Context, c Conn) (list []*models.Worker, err error) {
	err = c.NewSelect().Model(&list).OrderExpr("w.pulp_id").Scan(ctx)
	return list, err
}

// WorkerExists reports whether a worker has a row.
func WorkerExists(ctx context.Context, c Conn, id uuid.UUID) (bool, error) {
	var found []int
	err := c.NewRaw("SELECT 1 FROM core_worker WHERE pulp_id = ?", id).Scan(ctx, &found)
	return len(found) > 0, err
}

// LockSilent locks the row of a worker if its heartbeat still has a value. It reports false if that changed, or if
// another process has the lock. It needs a transaction.
func LockSilent(ctx context.Context, c Conn, id uuid.UUID, beat int64) (bool, error) {
	var found []uuid.UUID
	err := c.NewRaw("SELECT pulp_id FROM core_worker WHERE pulp_id = ? AND beat = ? ?", id, beat, c.SkipLocked()).
		Scan(ctx, &found)
	return len(found) > 0, err
}

// DeleteWorker removes the row of a worker.
func DeleteWorker(ctx context.Context, c Conn, id uuid.UUID) error {
	_, err := c.NewRaw("DELETE FROM core_worker WHERE pulp_id = ?", id).Exec(ctx)
	return err
}

// DeleteIdleWorkers removes the rows of workers that own no task. The others stay, so that another process finds the
// tasks.
func DeleteIdleWorkers(ctx context.Context, db *models.DB, ids []uuid.UUID) error {
	_, err := ExecTx(ctx, db, `DELETE FROM core_worker WHERE pulp_id IN (?) AND NOT EXISTS (SELECT 1 FROM core_task
		WHERE worker_id = core_worker.pulp_id AND `+executing+")", bun.List(ids))
	return err
}

// TouchWorker changes only the row of a worker. On SQLite it returns once the caller had its turn to write.
func TouchWorker(ctx context.Context, db *models.DB, id uuid.UUID) error {
	_, err := ExecTx(ctx, db, "UPDATE core_worker SET pulp_last_updated = ? WHERE pulp_id = ?", models.Now(), id)
	return err
}

// OwnedTask is a task that the database shows as a worker's.
type OwnedTask struct {
	ID    uuid.UUID        `bun:"pulp_id"`
	Claim uuid.UUID        `bun:"claim_id"`
	State models.TaskState `bun:"state"`
}

// OwnedTasks returns the tasks that a worker has claimed and not ended.
func OwnedTasks(ctx context.Context, c Conn, worker uuid.UUID) (rows []OwnedTask, err error) {
	err = c.NewRaw("SELECT pulp_id, claim_id, state FROM core_task WHERE worker_id = ? AND "+executing, worker).
		Scan(ctx, &rows)
	return rows, err
}

// ClaimsOf returns the present claims of tasks. A task that has ended keeps its last claim.
func ClaimsOf(ctx context.Context, c Conn, tasks []uuid.UUID) (map[uuid.UUID]uuid.UUID, error) {
	var rows []OwnedTask
	err := c.NewRaw("SELECT pulp_id, claim_id FROM core_task WHERE pulp_id IN (?) AND claim_id IS NOT NULL",
		bun.List(tasks)).Scan(ctx, &rows)
	claims := make(map[uuid.UUID]uuid.UUID, len(rows))
	for _, r := range rows {
		claims[r.ID] = r.Claim
	}
	return claims, err
}

// OwnersWithoutRow returns the ids of workers that own running tasks and have no row.
func OwnersWithoutRow(ctx context.Context, c Conn) (owners []uuid.UUID, err error) {
	err = c.NewRaw("SELECT DISTINCT worker_id FROM core_task WHERE "+executing+
		" AND NOT EXISTS (SELECT 1 FROM core_worker w WHERE w.pulp_id = core_task.worker_id)").Scan(ctx, &owners)
	return owners, err
}

// Keys of the facts about the installation.
const (
	Installation = "installation" // random; tells this installation's work directories from those of others
	Epoch        = "redis_epoch"  // the token that Redis must have
	Redelivery   = "redelivery"   // how far ready tasks are announced again; "" or missing if they need not be
	Maintenance  = "maintenance"  // the worker that has the lease of the installation's maintenance
)

// Meta returns a fact about the installation, or "". With lock it stays as it is until the transaction ends.
func Meta(ctx context.Context, c Conn, key string, lock bool) (string, error) {
	var values []string
	suffix := bun.Safe("")
	if lock {
		suffix = c.ForUpdate()
	}
	err := c.NewRaw("SELECT value FROM core_taskingmeta WHERE key = ? ?", key, suffix).Scan(ctx, &values)
	if err != nil || len(values) == 0 {
		return "", err
	}
	return values[0], nil
}

// TryMeta is [Meta] with the lock, or reports false if another transaction has it.
func TryMeta(ctx context.Context, c Conn, key string) (string, bool, error) {
	var values []string
	err := c.NewRaw("SELECT value FROM core_taskingmeta WHERE key = ? ?", key, c.SkipLocked()).Scan(ctx, &values)
	if err != nil || len(values) == 0 {
		return "", false, err
	}
	return values[0], true, nil
}

// SetMeta stores a fact about the installation.
func SetMeta(ctx context.Context, c Conn, key, value string) error {
	_, err := c.NewRaw(`INSERT INTO core_taskingmeta (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value).Exec(ctx)
	return err
}

// InitMeta stores a fact about the installation that has no value yet.
func InitMeta(ctx context.Context, c Conn, key, value string) error {
	_, err := c.NewRaw("INSERT INTO core_taskingmeta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", key, value).
		Exec(ctx)
	return err
}

// SwapMeta replaces a value by another one, and reports false if the fact has a third one.
func SwapMeta(ctx context.Context, db *models.DB, key, old, value string) (bool, error) {
	n, err := ExecTx(ctx, db, "UPDATE core_taskingmeta SET value = ? WHERE key = ? AND value = ?", value, key, old)
	return n > 0, err
}

// Agenda is what the maintenance of an installation has to look at, read in one statement.
type Agenda struct {
	Holder      string `bun:"holder"`       // the worker with the lease; "" if there was none
	HolderKnown bool   `bun:"holder_known"` // the holder has a row
	Epoch       string `bun:"epoch"`
	Redelivery  string `bun:"redelivery"`
	DueTasks    bool   `bun:"due_tasks"`
	DueTimes    bool   `bun:"due_times"` // a schedule is due
}

const agendaSQL = `SELECT COALESCE((SELECT value FROM core_taskingmeta WHERE key = ?maintenance), '') AS holder,
		EXISTS (SELECT 1 FROM core_taskingmeta m JOIN core_worker w ON w.pulp_id = ?holderID
			WHERE m.key = ?maintenance) AS holder_known,
		COALESCE((SELECT value FROM core_taskingmeta WHERE key = ?epoch), '') AS epoch,
		COALESCE((SELECT value FROM core_taskingmeta WHERE key = ?redelivery), '') AS redelivery,
		EXISTS (SELECT 1 FROM core_task WHERE ` + isDue + `) AS due_tasks,
		EXISTS (SELECT 1 FROM core_taskschedule WHERE ` + scheduleIsDue + `) AS due_times`

// ReadAgenda reads the agenda.
func ReadAgenda(ctx context.Context, c Conn) (a Agenda, err error) {
	// Postgres compares a uuid with text only by a cast, which an empty text would fail; SQLite keeps keys as text.
	holder := bun.Safe("m.value")
	if c.Kind == sqldialect.Postgres {
		holder = "NULLIF(m.value, '')::uuid"
	}
	err = c.NewRaw(agendaSQL, sqldialect.Named{
		"maintenance": Maintenance, "epoch": Epoch, "redelivery": Redelivery, "holderID": holder, "now": c.Now(),
	}).Scan(ctx, &a)
	return a, err
}

// AnalyzeTasks renews the statistics of the tables. A planner without statistics of a table that grew fast reads the
// whole of it.
func AnalyzeTasks(ctx context.Context, c Conn) error {
	return sqldialect.Analyze(ctx, c.Kind, c.IDB, "core_task", "core_taskresource")
}

// LockTimeout bounds how long each further statement of a transaction waits for a lock.
func LockTimeout(ctx context.Context, c Conn, d time.Duration) error {
	return sqldialect.LockTimeout(ctx, c.Kind, c.IDB, d)
}

// Clock reads the clock by which the database compares times.
func Clock(ctx context.Context, c Conn) (time.Time, error) {
	return sqldialect.Clock(ctx, c.Kind, c.IDB)
}
