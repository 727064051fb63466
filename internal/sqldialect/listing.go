package sqldialect

import "github.com/uptrace/bun"

// ByteOrder returns what makes a text column compare and sort byte by byte, to be written behind its name. SQLite's
// text always does; Postgres needs it where the database has a language's order.
func (k Kind) ByteOrder() bun.Safe {
	if k == Postgres {
		return ` COLLATE "C"`
	}
	return ""
}
