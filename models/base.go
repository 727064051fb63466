package models

import (
	"time"

	"github.com/google/uuid"
)

// Base holds the columns that every row has.
type Base struct {
	ID      uuid.UUID `bun:"pulp_id,pk" json:"-"`        // UUIDv7, made when the row is inserted if it is zero
	Created time.Time `bun:"pulp_created" json:"-"`      // UTC, microseconds; set when the row is inserted
	Updated time.Time `bun:"pulp_last_updated" json:"-"` // UTC, microseconds; set by every insert and update
}

// Labels are the user's own key/value pairs on a row. A value may be null, which is nil here. Nil is an empty set.
type Labels map[string]*string

func (b *Base) base() *Base { return b }

// stamp fills in what an insert needs.
func (b *Base) stamp(now time.Time) {
	if b.ID == uuid.Nil {
		b.ID = NewID()
	}
	if b.Created.IsZero() {
		b.Created = now
	}
	b.Updated = now
}

// NewID returns a fresh UUIDv7: the key of a new row. Keys made later sort later.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Now returns the time as both databases keep it: UTC, in microseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
