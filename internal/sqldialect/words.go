package sqldialect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

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
