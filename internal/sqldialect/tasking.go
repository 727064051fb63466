package sqldialect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"
)

// Reservation is one resource that a task needs, by the hash of its name.
type Reservation struct {
	Key       int64
	Exclusive bool
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

// Named are arguments for statements with placeholders such as ?task_id.
type Named map[string]any

// AppendNamedArg makes Named usable as the only argument of a bun query.
func (n Named) AppendNamedArg(gen schema.QueryGen, b []byte, name string) ([]byte, bool) {
	v, ok := n[name]
	if !ok {
		return b, false
	}
	if a, ok := v.(schema.QueryAppender); ok {
		out, err := a.AppendQuery(gen, b)
		return out, err == nil
	}
	return gen.Append(b, v), true
}

// Now is the present as an argument of a statement: on Postgres the time at which the server began the statement, so
// that all hosts agree, and this process's clock on SQLite, where all users of the file share one host.
//
// It is never clock_timestamp(), which changes while a statement runs: Postgres then compares it with every row instead
// of looking it up in an index.
func (k Kind) Now() any { return k.After(0) }

// After is [Kind.Now] plus d.
func (k Kind) After(d time.Duration) any {
	if k == SQLite {
		return time.Now().UTC().Add(d).Truncate(time.Microsecond)
	}
	if d == 0 {
		return bun.Safe("statement_timestamp()")
	}
	return bun.Safe(fmt.Sprintf("statement_timestamp() + interval '%d microseconds'", d.Microseconds()))
}

// FollowIndex keeps Postgres, until the transaction ends, from sorting what an index has in order. Where it knows
// little of a table it would read and sort all rows of an index for each page.
func (k Kind) FollowIndex(ctx context.Context, tx bun.IDB) error {
	if k == SQLite {
		return nil
	}
	_, err := tx.NewRaw("SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off").Exec(ctx)
	return err
}

// SkipLocked ends a SELECT of rows that are to be changed, so that several processes take different ones. SQLite's
// transactions are alone anyway.
func (k Kind) SkipLocked() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR UPDATE SKIP LOCKED"
}

// SkipLockedOf is [Kind.SkipLocked] for the rows of one of several tables.
func (k Kind) SkipLockedOf(alias string) bun.Safe {
	if k == SQLite {
		return ""
	}
	return bun.Safe("FOR UPDATE OF " + alias + " SKIP LOCKED")
}

// ForUpdate ends a SELECT of rows that only this transaction may change.
func (k Kind) ForUpdate() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR UPDATE"
}

// ForNoKeyUpdate ends a SELECT of rows that this transaction holds against others that ask for the same, while rows
// that refer to them may still be inserted.
func (k Kind) ForNoKeyUpdate() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR NO KEY UPDATE"
}

// ForShare ends a SELECT of rows that must not change until the transaction ends.
func (k Kind) ForShare() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR SHARE"
}

// ForShareOf is [Kind.ForShare] for the rows of one of several tables.
func (k Kind) ForShareOf(alias string) bun.Safe {
	if k == SQLite {
		return ""
	}
	return bun.Safe("FOR SHARE OF " + alias)
}

// texts returns a list of strings as an argument for a column of strings.
func (k Kind) texts(list []string) (any, error) {
	if k == Postgres {
		return pgdialect.Array(list), nil
	}
	b, err := json.Marshal(list)
	return string(b), err
}

// keys puts reservations into args: two arrays on Postgres, one JSON text of [key, exclusive] pairs on SQLite.
func (k Kind) keys(list []Reservation, args Named) {
	k.arrays([]Held{{Reservations: list}}, args, false)
}

// held puts reservations with their tasks' places in the order into args: a third array on Postgres, triples on SQLite.
func (k Kind) held(list []Held, args Named) { k.arrays(list, args, true) }

func (k Kind) arrays(list []Held, args Named, places bool) {
	var text []byte
	keys, seqs, exclusive := []int64{}, []int64{}, []bool{} // nil would be NULL
	for _, h := range list {
		for _, r := range h.Reservations {
			if k == Postgres {
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
	if k == SQLite {
		args["rkeys"] = "[" + strings.TrimPrefix(string(text), ",") + "]"
		return
	}
	args["rkeys"], args["rexcl"] = pgdialect.Array(keys), pgdialect.Array(exclusive)
	if places {
		args["seqs"] = pgdialect.Array(seqs)
	}
}

// scanIDs runs a statement that returns one column of keys.
func scanIDs(ctx context.Context, q bun.IDB, statement string, args Named) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := q.NewRaw(statement, args).Scan(ctx, &ids)
	return ids, err
}

// DeliveryGrace is how long after a grant the task counts as lost on its way to a worker.
const DeliveryGrace = 2 * time.Second

// JSONCase casts placeholders for JSON that stand where Postgres cannot infer their type.
func (k Kind) JSONCase(statement string, placeholders ...string) string {
	if k == SQLite {
		return statement
	}
	for _, p := range placeholders {
		statement = strings.ReplaceAll(statement, p, p+"::jsonb")
	}
	return statement
}

// IsDataError reports whether err says that a value cannot be stored at all, for example text with a NUL in a JSON
// column of Postgres.
func IsDataError(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(e.Code, "22")
	}
	return false
}
