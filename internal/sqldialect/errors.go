package sqldialect

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pulpgo/pulpcore/pulperr"
)

// RowError gives a database error its kind, and names the package and the row that it is about. A nil error and the
// end of a context stay as they are.
//
// Errors: NotFound without a row, Exists for a taken unique key, Conflict for a row that other rows refer to, Locked if
// another transaction was in the way, Unavailable if the database did not answer. Others have no kind.
func RowError(pkg string, err error, what, key string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %s %q: %w", pkg, what, key, pulperr.NotFound)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case IsUniqueViolation(err):
		return fmt.Errorf("%s: %s %q: %w: %w", pkg, what, key, pulperr.Exists, err)
	case IsReferenced(err):
		return fmt.Errorf("%s: %s %q is in use: %w: %w", pkg, what, key, pulperr.Conflict, err)
	case IsRetryable(err):
		return fmt.Errorf("%s: %s %q: %w: %w", pkg, what, key, pulperr.Locked, err)
	case IsUnavailable(err):
		return fmt.Errorf("%s: %s %q: %w: %w", pkg, what, key, pulperr.Unavailable, err)
	}
	return fmt.Errorf("%s: %s %q: %w", pkg, what, key, err)
}

// IsUniqueViolation reports whether err means that a row with the same unique key exists.
func IsUniqueViolation(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23505"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// IsReferenced reports whether err means that a row is still referenced by, or refers to, a row of another table.
func IsReferenced(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		// foreign_key_violation, and restrict_violation for keys with ON DELETE RESTRICT
		return e.Code == "23503" || e.Code == "23001"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		// SQLite reports ON DELETE RESTRICT as the error of a trigger.
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_TRIGGER
	}
	return false
}

// IsRetryable reports whether the transaction that failed with err may succeed if it is run again from its start:
// a deadlock, a serialisation failure or a lock that was not granted in time.
func IsRetryable(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		// serialization_failure, deadlock_detected, lock_not_available
		return e.Code == "40001" || e.Code == "40P01" || e.Code == "55P03"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		// The lowest byte is the code without its variant, such as SQLITE_BUSY_SNAPSHOT.
		return e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED
	}
	return false
}

// IsLockTimeout reports whether err means that a lock was not granted within the timeout of the transaction, for which
// the caller has waited long enough already. SQLite has no such timeout.
func IsLockTimeout(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "55P03"
}

// IsUnavailable reports whether err means that the database did not answer: it could not be reached, or the connection
// broke. The end of a context is no such error.
func IsUnavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		// connection exceptions, too many connections, shut down by the administrator or a crash, starting up
		return strings.HasPrefix(e.Code, "08") || slices.Contains([]string{"53300", "57P01", "57P02", "57P03"}, e.Code)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	return errors.Is(err, driver.ErrBadConn) ||
		pgconn.SafeToRetry(err) && !errors.Is(err, context.DeadlineExceeded) // not sent, for the connection was closed
}

// IsUndefinedTable reports whether err means that a table does not exist.
func IsUndefinedTable(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "42P01"
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	// SQLite has no code of its own for this error.
	return ok && e.Code() == sqlite3.SQLITE_ERROR && strings.Contains(e.Error(), "no such table")
}

// IsDataError reports whether err means that a value cannot be stored at all, for example text with a NUL in a JSON
// column of Postgres.
func IsDataError(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		// The class "data exception".
		return strings.HasPrefix(e.Code, "22")
	}
	return false
}
