package secrets

import (
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
)

// EncryptedText is a column whose text is encrypted in the database and never printed. Rows that were read through a
// models.Type are ready to [EncryptedText.Reveal]. The zero value is NULL. Mirrors Pulp's EncryptedTextField.
//
// The stored bytes are bound to their table, column and row: bytes that were copied to another place cannot be
// decrypted there.
type EncryptedText struct {
	plain  string
	sealed []byte
	state  secretState
}

type secretState uint8

const (
	secretNull   secretState = iota
	secretSealed             // scanned from the database; plain is not known
	secretOpen               // plain is known
)

// NewEncryptedText returns a value that will be encrypted when its row is saved.
func NewEncryptedText(plain string) EncryptedText {
	return EncryptedText{plain: plain, state: secretOpen}
}

const redacted = "[redacted]"

// Reveal returns the plain text. Call it where the secret is used and nowhere else. It is empty for NULL and in rows
// that were scanned by bun instead of a models.Type.
func (e EncryptedText) Reveal() string { return e.plain }

// IsSet reports whether there is a value, possibly an empty one.
func (e EncryptedText) IsSet() bool { return e.state != secretNull }

// String hides the secret; so do all other ways to print it.
func (e EncryptedText) String() string { return redacted }

// GoString hides the secret from %#v.
func (e EncryptedText) GoString() string { return redacted }

// Format hides the secret from every verb.
func (e EncryptedText) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue hides the secret from slog.
func (e EncryptedText) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the secret from JSON and other encodings.
func (e EncryptedText) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Value returns the encrypted bytes. It fails if the row was not saved through a Type, which encrypts.
func (e EncryptedText) Value() (driver.Value, error) {
	switch {
	case e.state == secretNull:
		return nil, nil
	case e.sealed == nil:
		return nil, fmt.Errorf("secrets: an EncryptedText is not encrypted yet; save its row through its models.Type")
	}
	return e.sealed, nil
}

// Scan takes the encrypted bytes.
func (e *EncryptedText) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*e = EncryptedText{}
	case []byte:
		// The bytes belong to the driver, which may use them again after Scan.
		*e = EncryptedText{sealed: append([]byte(nil), v...), state: secretSealed}
	case string:
		*e = EncryptedText{sealed: []byte(v), state: secretSealed}
	default:
		return fmt.Errorf("secrets: cannot read an EncryptedText from %T", src)
	}
	return nil
}

// Seal encrypts the text for its place, before its row is saved; models does that. A value that was only scanned is
// opened first, so that it is neither lost nor moved to a place that it was not sealed for.
//
// Errors: Unavailable, see [Keyring].
func (e *EncryptedText) Seal(k *Keyring, place Place) error {
	// A row that was scanned by bun holds no plain text. Without Open, saving it would encrypt the empty text.
	if err := e.Open(k, place); err != nil || e.state == secretNull {
		return err
	}
	b, err := k.Seal([]byte(e.plain), place)
	e.sealed = b
	return err
}

// Open decrypts a value that was scanned for its place; models does that for the rows that it reads.
//
// Errors: Unavailable, see [Keyring.Open].
func (e *EncryptedText) Open(k *Keyring, place Place) error {
	if e.state != secretSealed {
		return nil
	}
	b, err := k.Open(e.sealed, place)
	if err != nil {
		return err
	}
	e.plain, e.state = string(b), secretOpen
	return nil
}
