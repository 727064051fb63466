package accounts_test

import (
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// each runs fn with a handle on an empty, migrated database of each kind.
func each(t *testing.T, fn func(t *testing.T, db *models.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, modelstest.Open(t, url, nil))
	})
}

func TestUsers(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		u := &accounts.User{Username: "alice", IsActive: true}
		if err := accounts.Create(ctx, db, u, "correct horse"); err != nil {
			t.Fatal(err)
		}
		if u.ID == 0 || strings.Contains(u.Password, "horse") {
			t.Errorf("Create made %+v", u)
		}
		for name, want := range map[string]pulperr.Kind{
			"alice": pulperr.Exists, "": pulperr.Invalid, "a b": pulperr.Invalid, "a\x00": pulperr.Invalid,
			strings.Repeat("x", 151): pulperr.Invalid,
		} {
			if err := accounts.Create(ctx, db, &accounts.User{Username: name}, ""); pulperr.KindOf(err) != want {
				t.Errorf("Create(%q) = %v, want kind %v", name, err, want)
			}
		}
		login := func(name, password string, want pulperr.Kind) {
			t.Helper()
			if _, err := accounts.Authenticate(ctx, db, name, password); pulperr.KindOf(err) != want {
				t.Errorf("Authenticate(%q, %q) = %v, want kind %v", name, password, err, want)
			}
		}
		login("alice", "correct horse", 0)
		login("alice", "Correct horse", pulperr.Unauthorized)
		login("alice", "", pulperr.Unauthorized)
		login("bob", "correct horse", pulperr.Unauthorized)
		login("a\x00", "x", pulperr.Unauthorized)
		if err := accounts.SetPassword(ctx, db, "alice", "battery staple"); err != nil {
			t.Fatal(err)
		}
		login("alice", "correct horse", pulperr.Unauthorized)
		login("alice", "battery staple", 0)
		if err := accounts.SetPassword(ctx, db, "alice", ""); err != nil {
			t.Fatal(err)
		}
		login("alice", "", pulperr.Unauthorized)
		if err := accounts.SetPassword(ctx, db, "bob", "x"); pulperr.KindOf(err) != pulperr.NotFound {
			t.Errorf("SetPassword of a missing account = %v, want NotFound", err)
		}
	})
}

// Accounts can be brought along from Django with the hashes they have; a log-in replaces an old one.
func TestPasswordHashesOfDjango(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		u := &accounts.User{Username: "u", IsActive: true}
		if err := accounts.Create(ctx, db, u, ""); err != nil {
			t.Fatal(err)
		}
		stored := func() (hash string) {
			now, err := accounts.ByName(ctx, db, "u")
			if err != nil {
				t.Fatal(err)
			}
			return now.Password
		}
		login := func(password string, want pulperr.Kind) *accounts.User {
			t.Helper()
			u, err := accounts.Authenticate(ctx, db, "u", password)
			if pulperr.KindOf(err) != want {
				t.Errorf("Authenticate(%q) = %v, want kind %v", password, err, want)
			}
			return u
		}
		for _, hash := range []string{
			"pbkdf2_sha256$1000$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0=",
			"argon2$argon2id$v=19$m=1024,t=2,p=8$c2FsdHNhbHQ$pbAluaIHgsznGB/7wsOyitYNe2cElJ6NNPJn2FpHtpY",
		} {
			_, err := db.Bun().NewUpdate().Model(u).Set("password = ?", hash).WherePK().Exec(ctx)
			if err != nil {
				t.Fatal(err)
			}
			login("wrong", pulperr.Unauthorized)
			if got := stored(); got != hash {
				t.Errorf("a wrong password made the hash %s", got)
			}
			got := login("correct horse", 0)
			renewed := stored()
			if !strings.HasPrefix(renewed, "argon2$argon2id$v=19$m=19456,") || got == nil || got.Password != renewed {
				t.Errorf("after a log-in the hash is %s, and of %+v", renewed, got)
			}
			login("correct horse", 0)
			if stored() != renewed {
				t.Error("the hash was renewed again")
			}
		}
	})
}
