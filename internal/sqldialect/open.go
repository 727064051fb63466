// Package sqldialect is the only place that knows which database runs. It opens SQLite and Postgres, classifies their
// errors, and holds the statements for which the two need different words; elsewhere bun builds SQL that both accept.
package sqldialect

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite" // the pure Go one, so no cgo

	"github.com/pulpgo/pulpcore/pulperr"
)

// Kind is one of the two databases.
type Kind uint8

// The supported databases.
const (
	SQLite Kind = iota + 1
	Postgres
)

// String returns "sqlite" or "postgres".
func (k Kind) String() string {
	if k == SQLite {
		return "sqlite"
	}
	return "postgres"
}

// Conn is an open database with its pool. It is safe for concurrent use.
type Conn struct {
	Bun  *bun.DB
	Kind Kind
	pool *pgxpool.Pool // nil on SQLite

	// writer is held by the one write transaction that SQLite allows, so that writers of this process queue up here
	// in order instead of polling for the file lock. Nil on Postgres.
	writer chan struct{}

	acquireTimeout time.Duration // of a connection of the pool
	preparing      bool          // the connections to Postgres keep statements prepared
}

// openPool returns the pool of a connector's connections, which refuse the statements of other connections'
// transactions.
func (c *Conn) openPool(via driver.Connector, wrap func(driver.Conn) (driverConn, error)) *sql.DB {
	return sql.OpenDB(connector{Connector: via, owner: c, wrap: wrap})
}

const defaultPoolSize = 16

// Open connects to the database at rawURL: "sqlite:<path>[?_pragma=…]" or "postgres://…". A SQLite file and its folder
// are created if they do not exist. Parameters of a Postgres URL are those of pgx; see [Statement] for PgBouncer.
//
// Errors: Invalid for a URL of another form, Unavailable if the database does not answer.
func Open(ctx context.Context, rawURL string) (*Conn, error) {
	scheme, _, _ := strings.Cut(rawURL, ":")
	var c *Conn
	var err error
	switch scheme {
	case "sqlite":
		c, err = openSQLite(strings.TrimPrefix(rawURL, "sqlite:"))
	case "postgres", "postgresql":
		c, err = openPostgres(ctx, rawURL)
	default:
		return nil, pulperr.Public(pulperr.Invalid, "database URL: scheme %q is not sqlite or postgres", scheme)
	}
	if err != nil {
		return nil, err
	}
	if err := c.ping(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("database: connect to %s: %w: %w", c.Kind, pulperr.Unavailable, err)
	}
	return c, nil
}

// connectTimeout is how long Open waits for another process that makes the same SQLite file.
const connectTimeout = 10 * time.Second

// ping connects, and tries again while another process switches a new SQLite file to WAL.
func (c *Conn) ping(ctx context.Context) error {
	enough := time.NewTimer(connectTimeout)
	defer enough.Stop()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err := c.Bun.PingContext(ctx)
		// The switch to WAL ignores busy_timeout: a second connection is refused at once, and may succeed a moment later.
		if err == nil || !IsRetryable(err) {
			return err
		}
		select {
		case <-retry.C:
		case <-enough.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// Close closes the pool.
func (c *Conn) Close() error {
	err := c.Bun.Close()
	if c.pool != nil {
		c.pool.Close()
	}
	return err
}

// Pool returns the Postgres pool behind the connection, or nil on SQLite.
func (c *Conn) Pool() *pgxpool.Pool { return c.pool }

// Beside opens a connection that does not belong to the pool, for what must go on while all of the pool is busy. It
// connects when it is first used, and again when that connection broke. The caller closes it. SQLite has none: nil.
func (c *Conn) Beside() *bun.DB {
	if c.pool == nil {
		return nil
	}
	// A pool of its own with one connection, so that no other user can keep it busy.
	db := c.openPool(stdlib.GetConnector(*c.pool.Config().ConnConfig, stdlib.OptionAfterConnect(timesInUTC)), atMostOnce)
	db.SetMaxOpenConns(1)
	return bun.NewDB(db, postgresDialect{pgdialect.New()})
}

// LockWriter waits for the right to open a write transaction. Postgres grants it at once.
func (c *Conn) LockWriter(ctx context.Context) (unlock func(), err error) {
	if c.writer == nil {
		return func() {}, nil
	}
	select {
	case c.writer <- struct{}{}:
		return func() { <-c.writer }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func openSQLite(rest string) (*Conn, error) {
	path, query, _ := strings.Cut(rest, "?")
	path = strings.TrimPrefix(path, "//")
	if path == "" {
		return nil, pulperr.Public(pulperr.Invalid, "database URL: sqlite needs a file, as in sqlite:/var/lib/pulp/pulp.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("database: folder of %q: %w: %w", path, pulperr.Unavailable, err)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("database: sqlite parameters: %w: %w", pulperr.Invalid, err)
	}
	given := strings.Join(params["_pragma"], " ")
	// synchronous(FULL): after a commit files are deleted and messages acknowledged, so a power cut must not undo it.
	// busy_timeout is for writers of other processes; those of this one queue up in LockWriter.
	for _, p := range []string{"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)"} {
		if name, _, _ := strings.Cut(p, "("); !strings.Contains(given, name) {
			params.Add("_pragma", p)
		}
	}
	params.Set("_timezone", "UTC")
	params.Set("_txlock", "immediate") // a read lock that is upgraded later fails at once under contention
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: params.Encode()}).String()
	c := &Conn{Kind: SQLite, writer: make(chan struct{}, 1), acquireTimeout: acquireTimeout}
	d, err := newSQLiteDriver()
	if err != nil {
		return nil, fmt.Errorf("database: sqlite functions: %w", err)
	}
	db := c.openPool(sqliteConnector{dsn, d}, sqliteConn)
	db.SetMaxOpenConns(defaultPoolSize)
	db.SetMaxIdleConns(defaultPoolSize)
	c.Bun = bun.NewDB(db, sqliteDialect{sqlitedialect.New()})
	return c, nil
}

// sqliteConnector opens connections to one file.
type sqliteConnector struct {
	dsn    string
	driver *sqlite.Driver
}

// Connect is of [driver.Connector].
func (c sqliteConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }

// Driver is of [driver.Connector].
func (c sqliteConnector) Driver() driver.Driver { return c.driver }

func sqliteConn(conn driver.Conn) (driverConn, error) {
	c, ok := conn.(driverConn)
	if !ok {
		return nil, fmt.Errorf("database: unknown driver connection %T", conn)
	}
	return c, nil
}

func openPostgres(ctx context.Context, rawURL string) (*Conn, error) {
	cfg, err := pgxpool.ParseConfig(rawURL)
	if err != nil {
		// The parser's message can quote the URL, which may hold a password.
		return nil, pulperr.Public(pulperr.Invalid,
			"database URL: not a valid postgres URL; its form is postgres://user:password@host:port/database")
	}
	// bun writes arguments into the text, so a statement cache would never hit.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	cfg.AfterConnect = timesInUTC
	if !strings.Contains(rawURL, "pool_max_conns") {
		cfg.MaxConns = defaultPoolSize
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("database: open pool: %w: %w", pulperr.Unavailable, err)
	}
	c := &Conn{
		Kind: Postgres, pool: pool, acquireTimeout: acquireTimeout,
		preparing: !strings.Contains(rawURL, "default_query_exec_mode="),
	}
	db := c.openPool(stdlib.GetPoolConnector(pool), atMostOnce)
	db.SetMaxIdleConns(0) // that is the pool's business
	c.Bun = bun.NewDB(db, postgresDialect{pgdialect.New()})
	return c, nil
}

// timesInUTC keeps times from coming back in the zone of this machine.
func timesInUTC(_ context.Context, c *pgx.Conn) error {
	c.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return nil
}
