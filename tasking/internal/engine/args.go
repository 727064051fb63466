package engine

import (
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

// The tables whose column enc_args holds the arguments of tasks.
const (
	TaskTable     = "core_task"
	ScheduleTable = "core_taskschedule"
)

// SealArgs encrypts arguments for their row. Without keys they are stored as they are.
func SealArgs(db *models.DB, table string, row uuid.UUID, raw []byte) ([]byte, error) {
	keys := db.Keys()
	if keys == nil {
		return raw, nil
	}
	// Bound to its row, so that a ciphertext cannot be moved to another task.
	return keys.Seal(raw, argsPlace(table, row))
}

// OpenArgs decrypts what SealArgs returned.
func OpenArgs(db *models.DB, table string, row uuid.UUID, sealed []byte) ([]byte, error) {
	keys := db.Keys()
	if keys == nil {
		return sealed, nil
	}
	return keys.Open(sealed, argsPlace(table, row))
}

func argsPlace(table string, row uuid.UUID) secrets.Place {
	return secrets.Place{Table: table, Column: "enc_args", Row: row}
}
