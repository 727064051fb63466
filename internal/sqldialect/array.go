package sqldialect

// HasElement returns a condition with one placeholder: that a column of the type that models keep lists of text in
// holds this text.
func (k Kind) HasElement(column string) string {
	if k == Postgres {
		return "? = ANY(" + column + ")"
	}
	return "? IN (SELECT value FROM json_each(" + column + "))"
}
