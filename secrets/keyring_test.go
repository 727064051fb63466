package secrets_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

var somewhere = secrets.Place{Table: "core_remote", Column: "password"}

func TestLoadKeyring(t *testing.T) {
	t.Parallel()
	const key1, key2 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "_____________________________________________w=="
	tests := []struct {
		name, text string
		kind       pulperr.Kind
		told       string
	}{
		{"one key", key1 + "\n", 0, ""},
		{"comments and empty lines", "# new\n" + key1 + "\n\n  " + "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=  \n", 0, ""},
		{"an empty file", "", pulperr.Invalid, "there is no key"},
		{"no base64", key1 + "\nnot a key!\n", pulperr.Invalid, "line 2"},
		{"a short key", "AAAA\n", pulperr.Invalid, "3 bytes"},
		{"a key of another length", key2 + "\n", pulperr.Invalid, "bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			k, err := secrets.LoadKeyring(path, true)
			if test.kind != 0 {
				wantKind(t, err, test.kind, test.told)
				if strings.Contains(err.Error(), key1) {
					t.Error("the error tells a key")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := k.Seal([]byte("plain"), somewhere)
			if err != nil {
				t.Fatal(err)
			}
			again, err := k.Seal([]byte("plain"), somewhere)
			if err != nil || bytes.Equal(sealed, again) || bytes.Contains(sealed, []byte("plain")) {
				t.Fatalf("Seal = %q then %q, %v", sealed, again, err)
			}
			if plain, err := k.Open(sealed, somewhere); err != nil || string(plain) != "plain" {
				t.Fatalf("Open = %q, %v", plain, err)
			}
			sealed[len(sealed)-1] ^= 1
			_, err = k.Open(sealed, somewhere)
			wantKind(t, err, pulperr.Unavailable, "cannot be decrypted")
			_, err = k.Open(nil, somewhere)
			wantKind(t, err, pulperr.Unavailable, "")
		})
	}
}

// Processes that start at once on a new installation end up with the same key.
func TestLoadKeyringCreatesOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "key")
	_, err := secrets.LoadKeyring(path, false)
	wantKind(t, err, pulperr.NotFound, "")
	rings := make([]*secrets.Keyring, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = secrets.LoadKeyring(path, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sealed, err := rings[0].Seal([]byte("plain"), somewhere)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range rings {
		if plain, err := k.Open(sealed, somewhere); err != nil || string(plain) != "plain" {
			t.Errorf("Open = %q, %v", plain, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files left beside the key: %v, %v", left, err)
	}
}

func wantKind(t *testing.T, err error, kind pulperr.Kind, text string) {
	t.Helper()
	if pulperr.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("error = %v, want kind %v with %q", err, kind, text)
	}
}
