package sqldialect

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pulpgo/pulpcore/pulperr"
)

// onceConn keeps database/sql from sending a statement a second time whose answer was lost with the connection.
// database/sql repeats a statement if the driver reports that it was never sent. pgx reports that for every plain-text
// statement: it reads the answer twice and takes the error of the second attempt, "conn closed", for one from before
// the first.
type onceConn struct{ *stdlib.Conn }

// atMostOnce makes a connection of pgx a onceConn.
func atMostOnce(conn driver.Conn) (driverConn, error) {
	pgx, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("database: unknown driver connection %T", conn)
	}
	return onceConn{pgx}, nil
}

// ExecContext is of [driver.ExecerContext].
func (c onceConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	// Read before the statement: afterwards the connection is closed in both cases.
	usable := !c.Conn.Conn().IsClosed()
	res, err := c.Conn.ExecContext(ctx, query, args)
	return res, once(ctx, usable, err)
}

// QueryContext is of [driver.QueryerContext].
func (c onceConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	usable := !c.Conn.Conn().IsClosed()
	rows, err := c.Conn.QueryContext(ctx, query, args)
	return rows, once(ctx, usable, err)
}

var errLost = fmt.Errorf("database: the connection was lost: %w", pulperr.Unavailable)

// once keeps the driver's report that a statement was not sent only if the connection was closed before.
func once(ctx context.Context, usable bool, err error) error {
	switch {
	case !usable || !errors.Is(err, driver.ErrBadConn):
		return err
	case ctx.Err() != nil:
		// The driver closes a connection whose statement is interrupted: that is no loss of the database.
		return context.Cause(ctx)
	}
	return errLost
}
