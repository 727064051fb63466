package taskdb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// Reservation is one resource that a task needs, by the hash of its name.
type Reservation struct {
	Key       int64
	Exclusive bool
}

// SharedPrefix begins the name of a resource that a task shares with others.
const SharedPrefix = "shared:"

// ReservationsOf returns the hashes of names, sorted, as the database stores them. Two names with the same hash, which
// is not to be expected, would only make their tasks wait for each other.
func ReservationsOf(names []string) []Reservation {
	byKey := map[int64]bool{}
	for _, name := range names {
		bare, shared := strings.CutPrefix(name, SharedPrefix)
		sum := sha256.Sum256([]byte("pulpcore.resource.1\x00" + bare))
		key := int64(binary.BigEndian.Uint64(sum[:8])) //nolint:gosec // all 64 bits are wanted
		// A name that is both exclusive and shared is exclusive (F59).
		byKey[key] = byKey[key] || !shared
	}
	list := make([]Reservation, 0, len(byKey))
	for key, exclusive := range byKey {
		list = append(list, Reservation{Key: key, Exclusive: exclusive})
	}
	// All transactions lock resources in the order of their keys, so that two cannot deadlock.
	slices.SortFunc(list, func(a, b Reservation) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return list
}

// Union returns the reservations of several tasks together, sorted by key; what one of them has exclusively is
// exclusive.
func Union(lists ...[]Reservation) []Reservation {
	if len(lists) == 1 {
		return lists[0]
	}
	byKey := map[int64]bool{}
	for _, list := range lists {
		for _, r := range list {
			byKey[r.Key] = byKey[r.Key] || r.Exclusive
		}
	}
	all := make([]Reservation, 0, len(byKey))
	for key, exclusive := range byKey {
		all = append(all, Reservation{key, exclusive})
	}
	slices.SortFunc(all, func(a, b Reservation) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// errDisorder would mean that the database does not insert rows in the order in which it is given them.
var errDisorder = errors.New("database: the order of inserted tasks is not the order of their dispatch")

// commaList are parts of a statement with commas between.
type commaList []schema.QueryAppender

// AppendQuery implements [schema.QueryAppender].
func (l commaList) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for i, part := range l {
		if i > 0 {
			b = append(b, ", "...)
		}
		var err error
		if b, err = part.AppendQuery(gen, b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// texts returns a list of strings as an argument for a column of strings.
func texts(k sqldialect.Kind, list []string) (any, error) {
	if k == sqldialect.Postgres {
		return pgdialect.Array(list), nil
	}
	b, err := json.Marshal(list)
	return string(b), err
}

// addReservations adds reservations to args: two arrays on Postgres, one JSON text of [key, exclusive] pairs on
// SQLite.
func addReservations(k sqldialect.Kind, list []Reservation, args sqldialect.Named) {
	addArrays(k, []Held{{Reservations: list}}, args, false)
}

// addHeld adds reservations with the places of their tasks in the order to args: a third array on Postgres, triples on
// SQLite.
func addHeld(k sqldialect.Kind, list []Held, args sqldialect.Named) { addArrays(k, list, args, true) }

func addArrays(k sqldialect.Kind, list []Held, args sqldialect.Named, places bool) {
	var text []byte
	keys, seqs, exclusive := []int64{}, []int64{}, []bool{} // nil would be NULL
	for _, h := range list {
		for _, r := range h.Reservations {
			if k == sqldialect.Postgres {
				keys, exclusive, seqs = append(keys, r.Key), append(exclusive, r.Exclusive), append(seqs, h.Seq)
				continue
			}
			text = append(text, ",["...)
			text = strconv.AppendInt(text, r.Key, 10)
			text = append(text, ',')
			text = strconv.AppendBool(text, r.Exclusive)
			if places {
				text = append(text, ',')
				text = strconv.AppendInt(text, h.Seq, 10)
			}
			text = append(text, ']')
		}
	}
	if k == sqldialect.SQLite {
		args["rkeys"] = "[" + strings.TrimPrefix(string(text), ",") + "]"
		return
	}
	args["rkeys"], args["rexcl"] = pgdialect.Array(keys), pgdialect.Array(exclusive)
	if places {
		args["seqs"] = pgdialect.Array(seqs)
	}
}

// scanIDs runs a statement that returns one column of keys.
func scanIDs(ctx context.Context, c Conn, statement string, args sqldialect.Named) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := c.NewRaw(statement, args).Scan(ctx, &ids)
	return ids, err
}

// DeliveryGrace is how long after a grant the task counts as lost on its way to a worker.
const DeliveryGrace = 2 * time.Second
