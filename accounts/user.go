// Package accounts keeps the users of an installation: the names and passwords with which clients log in to the API.
package accounts

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/password"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// User is an account. Its PRN is "prn:auth.user:<id>".
type User struct {
	bun.BaseModel `bun:"table:core_user,alias:u" json:"-"`

	ID          int64     `bun:"id,pk,autoincrement"`
	Username    string    `bun:"username"` // unique; at most 150 letters, digits and @ . + - _
	Password    string    `bun:"password"` // a hash; see [SetPassword]
	FirstName   string    `bun:"first_name"`
	LastName    string    `bun:"last_name"`
	Email       string    `bun:"email"`
	IsStaff     bool      `bun:"is_staff"`
	IsActive    bool      `bun:"is_active"` // others cannot log in
	IsSuperuser bool      `bun:"is_superuser"`
	DateJoined  time.Time `bun:"date_joined"`
}

const maxUsername = 150

// Create inserts an account with the hash of a password, and sets its key. An account with an empty password cannot
// log in with one.
//
// Errors: Exists if the name is taken; Invalid for a name with other characters or too long.
func Create(ctx context.Context, db *models.DB, u *User, clear string) error {
	if u.Username == "" || utf8.RuneCountInString(u.Username) > maxUsername ||
		strings.ContainsFunc(u.Username, func(r rune) bool { return !usernameRune(r) }) {
		return pulperr.Field("username", "Enter a valid username. This value may contain only letters, numbers, and "+
			"@/./+/-/_ characters, at most %d of them.", maxUsername)
	}
	u.Password = password.Hash(clear)
	if u.DateJoined.IsZero() {
		u.DateJoined = models.Now()
	}
	return db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewInsert().Model(u).Returning("id").Exec(ctx)
		return rowError(err, u.Username)
	})
}

func usernameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@.+-_", r)
}

// ByName returns an account.
//
// Errors: NotFound.
func ByName(ctx context.Context, db *models.DB, name string) (*User, error) {
	if models.HasNUL(name) {
		// Postgres refuses text with a NUL byte, so the query would fail instead of finding no account.
		return nil, notFound(name)
	}
	u := new(User)
	err := db.Bun().NewSelect().Model(u).Where("username = ?", name).Scan(ctx)
	return u, rowError(err, name)
}

func notFound(name string) error {
	return fmt.Errorf("accounts: user %q: %w", name, pulperr.NotFound)
}

func rowError(err error, name string) error {
	return sqldialect.RowError("accounts", err, "user", name)
}

// SetPassword replaces the password of an account; an empty one ends log-ins with a password. The hash is one of
// argon2id in Django's form.
//
// Errors: NotFound.
func SetPassword(ctx context.Context, db *models.DB, name, clear string) error {
	// The password is hashed before the transaction: that takes tens of milliseconds, for which all other writers of
	// SQLite would wait.
	hash := password.Hash(clear)
	return db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		res, err := tx.Bun().NewUpdate().Model((*User)(nil)).Set("password = ?", hash).Where("username = ?", name).Exec(ctx)
		if err != nil {
			return rowError(err, name)
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return notFound(name)
		}
		return nil
	})
}

// Authenticate returns the active account with a name and a password. It takes tens of milliseconds of processor time
// and 19 MiB. A hash that was imported from Django is replaced by one of the form of [SetPassword] at the first log-in.
//
// Errors: Unauthorized if the name, the password or the state of the account does not allow it; the error does not
// differ.
func Authenticate(ctx context.Context, db *models.DB, name, clear string) (*User, error) {
	u, err := ByName(ctx, db, name)
	if err != nil && pulperr.KindOf(err) != pulperr.NotFound {
		return nil, err
	}
	// Without an account the password is compared with an empty hash, which takes as long as a real one. The time of the
	// answer must not reveal which names exist.
	hash := ""
	if err == nil {
		hash = u.Password
	}
	if !password.Verify(hash, clear) || err != nil || !u.IsActive {
		return nil, pulperr.Public(pulperr.Unauthorized, "Invalid username/password.")
	}
	if password.Outdated(hash) {
		// The password is right, so a failure to renew its hash does not end the log-in.
		if err := renewHash(ctx, db, u, clear); err != nil {
			db.Log().WarnContext(ctx, "an outdated password hash is renewed later", "user", name, "err", err)
		}
	}
	return u, nil
}

// renewHash replaces the hash of an account unless another log-in did meanwhile.
func renewHash(ctx context.Context, db *models.DB, u *User, clear string) error {
	hash := password.Hash(clear)
	return db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		// Compared with the hash that was verified, so that a password that was set meanwhile stays.
		res, err := tx.Bun().NewUpdate().Model((*User)(nil)).Set("password = ?", hash).Where("id = ?", u.ID).
			Where("password = ?", u.Password).Exec(ctx)
		if err != nil {
			return rowError(err, u.Username)
		}
		if n, err := res.RowsAffected(); err == nil && n == 1 {
			u.Password = hash
		}
		return nil
	})
}
