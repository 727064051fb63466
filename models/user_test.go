package models_test

import (
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestUsers(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		u := &models.User{Username: "alice", IsActive: true}
		if err := models.CreateUser(ctx, db, u, "correct horse"); err != nil {
			t.Fatal(err)
		}
		if u.ID == 0 || strings.Contains(u.Password, "horse") {
			t.Errorf("CreateUser made %+v", u)
		}
		for name, want := range map[string]pulperr.Kind{
			"alice": pulperr.Exists, "": pulperr.Invalid, "a b": pulperr.Invalid, "a\x00": pulperr.Invalid,
			strings.Repeat("x", 151): pulperr.Invalid,
		} {
			if err := models.CreateUser(ctx, db, &models.User{Username: name}, ""); pulperr.KindOf(err) != want {
				t.Errorf("CreateUser(%q) = %v, want kind %v", name, err, want)
			}
		}
		login := func(name, password string, want pulperr.Kind) {
			t.Helper()
			if _, err := models.Authenticate(ctx, db, name, password); pulperr.KindOf(err) != want {
				t.Errorf("Authenticate(%q, %q) = %v, want kind %v", name, password, err, want)
			}
		}
		login("alice", "correct horse", 0)
		login("alice", "Correct horse", pulperr.Unauthorized)
		login("alice", "", pulperr.Unauthorized)
		login("bob", "correct horse", pulperr.Unauthorized)
		login("a\x00", "x", pulperr.Unauthorized)
		if err := models.SetPassword(ctx, db, "alice", "battery staple"); err != nil {
			t.Fatal(err)
		}
		login("alice", "correct horse", pulperr.Unauthorized)
		login("alice", "battery staple", 0)
		if err := models.SetPassword(ctx, db, "alice", ""); err != nil {
			t.Fatal(err)
		}
		login("alice", "", pulperr.Unauthorized)
		if err := models.SetPassword(ctx, db, "bob", "x"); pulperr.KindOf(err) != pulperr.NotFound {
			t.Errorf("SetPassword of nobody = %v, want NotFound", err)
		}
	})
}

// TestPasswordHashesOfDjango makes sure that accounts can be brought along with the hashes they have.
func TestPasswordHashesOfDjango(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		const hash = "pbkdf2_sha256$1000$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0="
		for stored, want := range map[string]pulperr.Kind{
			hash: 0, hash[:len(hash)-4]: pulperr.Unauthorized, "plain": pulperr.Unauthorized,
			strings.Replace(hash, "1000", "0", 1):     pulperr.Unauthorized,
			strings.Replace(hash, "sha256", "md5", 1): pulperr.Unauthorized,
		} {
			name := "u" + strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
					return r
				}
				return -1
			}, stored)
			u := &models.User{Username: name, IsActive: true}
			if err := models.CreateUser(t.Context(), db, u, ""); err != nil {
				t.Fatal(err)
			}
			_, err := db.Bun().NewUpdate().Model(u).Set("password = ?", stored).WherePK().Exec(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := models.Authenticate(t.Context(), db, name, "correct horse"); pulperr.KindOf(err) != want {
				t.Errorf("Authenticate with the hash %q = %v, want kind %v", stored, err, want)
			}
		}
	})
}
