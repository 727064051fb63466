package sqldialect

import "strings"

// Values returns "VALUES (?, ?), (?, ?)" for a number of rows whose columns have the given types, in the words of
// [Kind.TemplateData]. The columns are called column1, column2 and so on.
//
// Postgres has to be told the types, and reads them from the first row. SQLite's values take on the type of the column
// that they are compared with or written to.
func (k Kind) Values(rows int, types ...string) string {
	row := "(" + strings.Repeat(", ?", len(types))[2:] + ")"
	first := row
	if k == Postgres {
		first = "(CAST(? AS " + strings.Join(types, "), CAST(? AS ") + "))"
	}
	return "VALUES " + first + strings.Repeat(", "+row, rows-1)
}
