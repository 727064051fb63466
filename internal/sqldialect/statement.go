package sqldialect

import (
	"context"
	"database/sql"
	"sync"
)

// Statement is a query that is run again and again. SQLite keeps it prepared, because there parsing costs more than
// running; Postgres gets it as text like any other. It is safe for concurrent use.
type Statement struct {
	conn *Conn
	text string

	mu       sync.Mutex
	prepared *sql.Stmt
}

// Statement makes a statement of a query with question marks as placeholders. It is prepared at its first use.
func (c *Conn) Statement(text string) *Statement { return &Statement{conn: c, text: text} }

// Query runs the statement outside any transaction. The caller closes the rows.
func (s *Statement) Query(ctx context.Context, args ...any) (*sql.Rows, error) {
	if s.conn.Kind == Postgres {
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

// Close frees what was prepared.
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
