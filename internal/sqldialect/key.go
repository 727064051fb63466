package sqldialect

import (
	"encoding/hex"

	"github.com/google/uuid"
	"github.com/uptrace/bun/schema"
)

// Key is a key as an argument of a statement. A [uuid.UUID] will do as well, at the price of two allocations, which
// pages of rows pay for each row.
type Key uuid.UUID

// AppendQuery implements [schema.QueryAppender].
func (k Key) AppendQuery(_ schema.QueryGen, b []byte) ([]byte, error) {
	text := k.Text()
	b = append(b, '\'')
	b = append(b, text[:]...)
	return append(b, '\''), nil
}

// Keys are keys with commas between, for "IN (?)"; none are NULL, which is in no list.
type Keys []uuid.UUID

// AppendQuery implements [schema.QueryAppender].
func (k Keys) AppendQuery(gen schema.QueryGen, b []byte) (_ []byte, err error) {
	if len(k) == 0 {
		return append(b, "NULL"...), nil
	}
	for i, id := range k {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, err = Key(id).AppendQuery(gen, b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Text returns the form of [uuid.UUID.String] in memory of the caller.
func (k Key) Text() (text [36]byte) {
	at := 0
	for _, part := range [...][]byte{k[:4], k[4:6], k[6:8], k[8:10], k[10:]} {
		if at > 0 {
			text[at] = '-'
			at++
		}
		at += hex.Encode(text[at:], part)
	}
	return text
}
