package models

import (
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
)

// EncryptedText is a column whose text is encrypted in the database and never printed. Rows that were read through a
// [Type] are ready to [EncryptedText.Reveal]. The zero value is NULL. Mirrors Pulp's EncryptedTextField.
type EncryptedText struct {
	plain  string
	sealed []byte
	set    bool
}

// NewEncryptedText returns a value that will be encrypted when its row is saved.
func NewEncryptedText(plain string) EncryptedText { return EncryptedText{plain: plain, set: true} }

const redacted = "[redacted]"

// Reveal returns the plain text. Call it where the secret is used and nowhere else.
func (e EncryptedText) Reveal() string { return e.plain }

// IsSet reports whether there is a value, possibly an empty one.
func (e EncryptedText) IsSet() bool { return e.set }

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
	case !e.set:
		return nil, nil
	case e.sealed == nil:
		return nil, fmt.Errorf("models: an EncryptedText must be saved through its Type")
	}
	return e.sealed, nil
}

// Scan takes the encrypted bytes.
func (e *EncryptedText) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*e = EncryptedText{}
	case []byte:
		*e = EncryptedText{sealed: append([]byte(nil), v...), set: true}
	case string:
		*e = EncryptedText{sealed: []byte(v), set: true}
	default:
		return fmt.Errorf("models: cannot read an EncryptedText from %T", src)
	}
	return nil
}

func (e *EncryptedText) seal(k *Keyring) error {
	if !e.set {
		return nil
	}
	b, err := k.Seal([]byte(e.plain))
	e.sealed = b
	return err
}

func (e *EncryptedText) unseal(k *Keyring) error {
	if !e.set {
		return nil
	}
	b, err := k.Open(e.sealed)
	e.plain = string(b)
	return err
}
