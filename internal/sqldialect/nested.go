package sqldialect

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// ErrNested is returned when code inside a transaction works with the pool instead: on SQLite it would wait for the
// writer that it holds itself, and on Postgres for a connection of a pool in which other transactions may wait in the
// same way.
var ErrNested = pulperr.Public(pulperr.Internal,
	"a database handle from outside of a transaction is used inside of it: use tx.DB, not db")

// acquireTimeout is how long a statement waits for a connection of the Postgres pool.
const acquireTimeout = time.Minute

// mark is the value in a context that belongs to an open transaction.
type mark struct{ begun, ended atomic.Bool }

// markKey keeps the transactions of different databases apart.
type markKey struct{ c *Conn }

// MarkTx returns the context that a new transaction is begun with and its statements run with. With that context the
// pool refuses other statements and transactions, until end is called.
//
// Errors: [ErrNested] if ctx is that of an open transaction on this database.
func (c *Conn) MarkTx(ctx context.Context) (marked context.Context, end func(), err error) {
	if err := c.CheckOutside(ctx); err != nil {
		return nil, nil, err
	}
	m := new(mark)
	return context.WithValue(ctx, markKey{c}, m), func() { m.ended.Store(true) }, nil
}

// CheckOutside returns [ErrNested] if ctx is that of an open transaction on this database.
func (c *Conn) CheckOutside(ctx context.Context) error {
	if c.mark(ctx) != nil {
		return ErrNested
	}
	return nil
}

// mark returns the open transaction that ctx belongs to, or nil.
func (c *Conn) mark(ctx context.Context) *mark {
	if m, ok := ctx.Value(markKey{c}).(*mark); ok && !m.ended.Load() {
		return m
	}
	return nil
}

// driverConn is what both drivers' connections can do.
type driverConn interface {
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Conn
}

// connector opens the connections of a pool, each of which refuses statements of transactions of other connections.
type connector struct {
	driver.Connector
	owner *Conn
	wrap  func(driver.Conn) (driverConn, error)
}

// Connect is of [driver.Connector].
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if m := c.owner.mark(ctx); m != nil && m.begun.Load() {
		// At once and not after a wait: all connections may be in use by callers with the same mistake.
		return nil, ErrNested
	}
	// The pool itself waits for a free connection as long as ctx lives.
	wait, cancel := context.WithTimeoutCause(ctx, c.owner.acquireTimeout, errPoolBusy)
	defer cancel()
	conn, err := c.Connector.Connect(wait)
	if err != nil {
		if cause := context.Cause(wait); ctx.Err() == nil && errors.Is(cause, errPoolBusy) {
			return nil, fmt.Errorf("database: %w", cause)
		}
		return nil, err
	}
	inner, err := c.wrap(conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &guardedConn{driverConn: inner, owner: c.owner}, nil
}

var errPoolBusy = pulperr.Public(pulperr.Unavailable,
	"all connections to the database have been busy for %v: pool_max_conns in the database URL sets how many there are",
	acquireTimeout)

// guardedConn refuses the statements of a transaction that another connection runs.
type guardedConn struct {
	driverConn

	owner *Conn
	tx    *mark // of the last transaction that was begun here
}

func (c *guardedConn) check(ctx context.Context) error {
	if m := c.owner.mark(ctx); m != nil && m != c.tx {
		return ErrNested
	}
	return nil
}

// BeginTx is of [driver.ConnBeginTx].
func (c *guardedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	m := c.owner.mark(ctx)
	// The context of a transaction begins one transaction. With a second one the first would wait for itself.
	if m != nil && m.begun.Swap(true) {
		return nil, ErrNested
	}
	tx, err := c.driverConn.BeginTx(ctx, opts)
	if err == nil {
		c.tx = m
	}
	return tx, err
}

// CheckNamedValue is of [driver.NamedValueChecker].
func (c *guardedConn) CheckNamedValue(v *driver.NamedValue) error {
	if inner, ok := c.driverConn.(driver.NamedValueChecker); ok {
		return inner.CheckNamedValue(v)
	}
	return driver.ErrSkip // database/sql converts as it does by default
}

// IsValid is of [driver.Validator].
func (c *guardedConn) IsValid() bool {
	inner, ok := c.driverConn.(driver.Validator)
	return !ok || inner.IsValid()
}

// PrepareContext is of [driver.ConnPrepareContext].
func (c *guardedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	return c.driverConn.PrepareContext(ctx, query)
}

// ExecContext is of [driver.ExecerContext].
func (c *guardedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	return c.driverConn.ExecContext(ctx, query, args)
}

// QueryContext is of [driver.QueryerContext].
func (c *guardedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	return c.driverConn.QueryContext(ctx, query, args)
}
