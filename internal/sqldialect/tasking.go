package sqldialect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Now is the present as an argument of a statement: the server's clock on Postgres, so that all hosts agree, and this
// process's on SQLite, where all users of the file share one host.
func (k Kind) Now() any { return k.After(0) }

// After is [Kind.Now] plus d.
func (k Kind) After(d time.Duration) any {
	if k == SQLite {
		return time.Now().UTC().Add(d).Truncate(time.Microsecond)
	}
	if d == 0 {
		return bun.Safe("clock_timestamp()")
	}
	return bun.Safe(fmt.Sprintf("clock_timestamp() + interval '%d microseconds'", d.Microseconds()))
}

// SkipLocked ends a SELECT of rows that are to be changed, so that several processes take different ones. SQLite's
// transactions are alone anyway.
func (k Kind) SkipLocked() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR UPDATE SKIP LOCKED"
}

// ForUpdate ends a SELECT of rows that only this transaction may change.
func (k Kind) ForUpdate() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR UPDATE"
}

// ForShare ends a SELECT of rows that must not change until the transaction ends.
func (k Kind) ForShare() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR SHARE"
}

// texts returns a list of strings as an argument for a column of strings.
func (k Kind) texts(list []string) (any, error) {
	if k == Postgres {
		return pgdialect.Array(list), nil
	}
	b, err := json.Marshal(list)
	return string(b), err
}

// keys returns reservations as arguments: two arrays on Postgres, one JSON text of [key, exclusive] pairs on SQLite.
func (k Kind) keys(list []Reservation, into Named) {
	if k == SQLite {
		var b strings.Builder
		b.WriteByte('[')
		for i, r := range list {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("[" + strconv.FormatInt(r.Key, 10) + "," + strconv.FormatBool(r.Exclusive) + "]")
		}
		b.WriteByte(']')
		into["rkeys"] = b.String()
		return
	}
	keys, exclusive := make([]int64, len(list)), make([]bool, len(list))
	for i, r := range list {
		keys[i], exclusive[i] = r.Key, r.Exclusive
	}
	into["rkeys"], into["rexcl"] = pgdialect.Array(keys), pgdialect.Array(exclusive)
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
