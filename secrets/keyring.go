// Package secrets encrypts values that the database must not hold in the clear: columns of rows, and the arguments of
// tasks.
//
// A [Keyring] holds the keys. [EncryptedText] is the type of a field of a plugin's model. Both depend on no database,
// so that a host can load its keys before it opens one.
package secrets

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Keyring encrypts secrets at rest with AES-256-GCM. The first key encrypts; every key decrypts, so that a new key
// can be put in front of the old ones. It is safe for concurrent use and never prints its keys.
type Keyring struct {
	keys []cipher.AEAD
}

const keySize = 32

// Place is the column of one row in which a secret is stored. A secret that is sealed for one place cannot be opened in
// another. An attacker who can write to the database therefore cannot move a secret to a row that sends it elsewhere.
type Place struct {
	Table, Column string
	Row           uuid.UUID // the row's pulp_id
}

// String returns "table.column:id", which is what the encryption binds.
func (p Place) String() string { return p.Table + "." + p.Column + ":" + p.Row.String() }

// NewKeyring returns a keyring of 32-byte keys, the encrypting one first.
//
// Errors: Invalid if there is no key or one has another length.
func NewKeyring(keys ...[]byte) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, pulperr.Public(pulperr.Invalid, "encryption: there is no key; a key file needs a line with 32 bytes as "+
			"URL-safe base64")
	}
	k := &Keyring{}
	for i, raw := range keys {
		if len(raw) != keySize {
			return nil, pulperr.Public(pulperr.Invalid, "encryption: key %d has %d bytes and must have %d; "+
				"check that its line in the key file is whole", i+1, len(raw), keySize)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, fmt.Errorf("secrets: keyring: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("secrets: keyring: %w", err)
		}
		k.keys = append(k.keys, aead)
	}
	return k, nil
}

// LoadKeyring reads a key file: one URL-safe base64 key of 32 bytes per line, the encrypting one first; empty lines
// and lines that start with # are passed over. It is the format of Pulp's DB_ENCRYPTION_KEY file. If the file does not
// exist and create is true, it is made with one random key and mode 0600.
//
// Errors: Invalid for a malformed file, NotFound, Unavailable.
func LoadKeyring(path string, create bool) (*Keyring, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		// The file is read even if this process has made one: another process may have been first with another key.
		if err = writeKeyFile(path); err == nil {
			f, err = os.Open(path)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("secrets: encryption key file %q: %w: %w", path, pulperr.NotFound, err)
	case err != nil:
		return nil, fmt.Errorf("secrets: encryption key file %q: %w: %w", path, pulperr.Unavailable, err)
	}
	defer f.Close()
	var keys [][]byte
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := base64.URLEncoding.DecodeString(line)
		if err != nil {
			return nil, pulperr.Public(pulperr.Invalid, "encryption key file %q: line %d is not URL-safe base64; "+
				"correct it, or begin it with # if it is no key", path, n)
		}
		keys = append(keys, raw)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("secrets: encryption key file %q: %w: %w", path, pulperr.Unavailable, err)
	}
	return NewKeyring(keys...)
}

// writeKeyFile makes a key file that only its owner can read. Two processes that start at once both use the file that
// is linked first.
func writeKeyFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	// CreateTemp makes the file with mode 0600, so at no moment can another user read the key.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(base64.URLEncoding.EncodeToString(key) + "\n")
	if err == nil {
		// The bytes are synced before the link: after a power cut, a key file must not be there without its key.
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces the key file of another process that was first.
	if err = os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	// Without this, a power cut could remove the key, and with it every secret that was sealed meanwhile.
	return syncDir(filepath.Dir(path))
}

// syncDir makes the entries of a folder durable, where the system can.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some file systems refuse to sync a folder, with EINVAL or as unsupported.
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// Seal encrypts with the first key, for one place.
//
// Errors: Unavailable without a keyring.
func (k *Keyring) Seal(plain []byte, place Place) ([]byte, error) {
	if k == nil {
		return nil, pulperr.Public(pulperr.Unavailable, "there is no encryption key to protect a secret with; "+
			"name a key file in the setting DB_ENCRYPTION_KEY")
	}
	return k.keys[0].Seal(nil, nil, plain, []byte(place.String())), nil
}

// Open decrypts bytes that were sealed for place.
//
// Errors: Unavailable if no key of the ring fits, or if the bytes were changed or sealed for another place.
func (k *Keyring) Open(sealed []byte, place Place) ([]byte, error) {
	plain, _, err := k.open(sealed, place)
	return plain, err
}

// Reseal encrypts a secret again with the first key. It returns nil if the first key has encrypted it already.
//
// Errors: Unavailable as for [Keyring.Open].
func (k *Keyring) Reseal(sealed []byte, place Place) ([]byte, error) {
	plain, current, err := k.open(sealed, place)
	if err != nil || current {
		return nil, err
	}
	return k.Seal(plain, place)
}

// open is Open that also reports whether the first key was the one.
func (k *Keyring) open(sealed []byte, place Place) (plain []byte, current bool, err error) {
	if k != nil {
		for i, key := range k.keys {
			// The bytes do not name their key. A wrong key is noticed, because GCM authenticates.
			if plain, err := key.Open(nil, nil, sealed, []byte(place.String())); err == nil {
				return plain, i == 0, nil
			}
		}
	}
	return nil, false, pulperr.Public(pulperr.Unavailable, "the secret %s.%s of row %s cannot be decrypted: "+
		"put the key that encrypted it back into the encryption key file, or set the secret anew",
		place.Table, place.Column, place.Row)
}
