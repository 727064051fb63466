package tasking

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Facts about the installation that are kept in the database.
const (
	metaInstallation = "installation" // random, tells this installation's work directories from others'
	metaEpoch        = "redis_epoch"  // the word that Redis shall know
	metaRedelivery   = "redelivery"   // how far the ready tasks are delivered again; "" or missing if they need not be
)

// identify reads the installation's name, making it first where it is missing.
func (q *Queue) identify(ctx context.Context) error {
	q.mu.Lock()
	known := q.installation != ""
	q.mu.Unlock()
	if known {
		return nil
	}
	name, err := q.meta(ctx, q.db.Bun(), metaInstallation, false)
	if err == nil && name == "" {
		err = taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error {
			for key, value := range map[string]string{metaInstallation: strings.ToLower(rand.Text()[:8]), metaEpoch: ""} {
				_, err := tx.Bun().NewRaw("INSERT INTO core_taskingmeta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
					key, value).Exec(ctx)
				if err != nil {
					return err
				}
			}
			name, err = q.meta(ctx, tx.Bun(), metaInstallation, false)
			return err
		})
	}
	if err != nil {
		return taskdb.Wrap(err, "read the installation's name")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.installation = name
	return nil
}

// meta returns a fact, or "". With lock it stays as it is until the transaction ends.
func (q *Queue) meta(ctx context.Context, idb bun.IDB, key string, lock bool) (string, error) {
	var values []string
	suffix := bun.Safe("")
	if lock {
		suffix = q.kind.ForUpdate()
	}
	err := idb.NewRaw("SELECT value FROM core_taskingmeta WHERE key = ? ?", key, suffix).Scan(ctx, &values)
	if err != nil || len(values) == 0 {
		return "", taskdb.Wrap(err, "read %s", key)
	}
	return values[0], nil
}

func (q *Queue) setMeta(ctx context.Context, idb bun.IDB, key, value string) error {
	_, err := idb.NewRaw(`INSERT INTO core_taskingmeta (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value).Exec(ctx)
	return taskdb.Wrap(err, "write %s", key)
}
