package sqldialect

// JoinEach returns an inner join that looks up, for each row of what stands before it, the rows of table for which
// cond holds; cond calls them alias. Without statistics, or with those of a table that was empty, Postgres expects a
// two-hundredth of the table for each row and reads all of it instead, and SQLite may begin with it. Neither can here.
//
// Postgres cannot take a subquery apart that has an OFFSET, and SQLite does not reorder a CROSS JOIN.
func (k Kind) JoinEach(table, alias, cond string) string {
	if k == Postgres {
		return "CROSS JOIN LATERAL (SELECT " + alias + ".* FROM " + table + " AS " + alias + " WHERE " + cond +
			" OFFSET 0) AS " + alias
	}
	return "CROSS JOIN " + table + " AS " + alias + " ON " + cond
}

// Whole ends a subquery whose rows are to be found before they are sorted: Postgres would rather walk an index in the
// order that is asked for, past all rows that are not meant, if it takes the table for small.
func (k Kind) Whole() string {
	if k == Postgres {
		return " OFFSET 0"
	}
	return ""
}

// LeftJoinEach is [Kind.JoinEach] as an outer join: a row for which table has none stays, with NULL for its columns.
func (k Kind) LeftJoinEach(table, alias, cond string) string {
	if k == Postgres {
		return "LEFT JOIN LATERAL (SELECT " + alias + ".* FROM " + table + " AS " + alias + " WHERE " + cond +
			" OFFSET 0) AS " + alias + " ON TRUE"
	}
	return "LEFT JOIN " + table + " AS " + alias + " ON " + cond
}
