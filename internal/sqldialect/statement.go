package sqldialect

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Statement is a query that is run again and again, for which parsing and planning cost more than running. SQLite keeps
// it prepared; on Postgres each connection of the pool does. It is safe for concurrent use.
//
// PgBouncer in transaction mode knows no prepared statements, unless its max_prepared_statements is set: the parameter
// default_query_exec_mode=simple_protocol in the URL makes Postgres get the query as text like any other.
type Statement struct {
	conn *Conn
	text string // with question marks; for prepared statements on Postgres with $1, $2, …

	mu       sync.Mutex
	prepared *sql.Stmt
}

// Statement makes a statement of a query with question marks as placeholders. It is prepared at its first use.
func (c *Conn) Statement(text string) *Statement {
	if c.preparing {
		text = numbered(text)
	}
	return &Statement{conn: c, text: text}
}

// numbered turns question marks into $1, $2 and so on. The text has none in literals.
func numbered(text string) string {
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(text, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

// Query runs the statement outside any transaction. The caller closes the rows.
func (s *Statement) Query(ctx context.Context, args ...any) (*sql.Rows, error) {
	switch {
	case s.conn.preparing:
		// Past bun, which would write the arguments into the text. The driver takes the mode from the first argument.
		return s.conn.Bun.DB.QueryContext(ctx, s.text, append([]any{pgx.QueryExecModeCacheStatement}, args...)...)
	case s.conn.Kind == Postgres:
		return s.conn.Bun.QueryContext(ctx, s.text, args...)
	}
	stmt, err := s.prepare(ctx)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

func (s *Statement) prepare(ctx context.Context) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared == nil {
		stmt, err := s.conn.Bun.DB.PrepareContext(ctx, s.text)
		if err != nil {
			return nil, err
		}
		s.prepared = stmt
	}
	return s.prepared, nil
}

// Close frees the prepared statement.
func (s *Statement) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared == nil {
		return nil
	}
	err := s.prepared.Close()
	s.prepared = nil
	return err
}
