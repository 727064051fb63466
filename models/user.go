package models

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/password"
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

// CreateUser inserts an account with a password in the clear, which only its hash is kept of, and sets its key. An
// empty password makes an account that cannot log in with one.
//
// Errors: Exists if the name is taken; Invalid for a name with other characters or too long.
func CreateUser(ctx context.Context, db *DB, u *User, clear string) error {
	if u.Username == "" || utf8.RuneCountInString(u.Username) > maxUsername ||
		strings.ContainsFunc(u.Username, func(r rune) bool { return !usernameRune(r) }) {
		return pulperr.Field("username", "Enter a valid username. This value may contain only letters, numbers, and "+
			"@/./+/-/_ characters, at most %d of them.", maxUsername)
	}
	u.Password = password.Hash(clear)
	if u.DateJoined.IsZero() {
		u.DateJoined = Now()
	}
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewInsert().Model(u).Returning("id").Exec(ctx)
		return rowError(err, "user", u.Username)
	})
}

func usernameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@.+-_", r)
}

// UserByName returns an account.
//
// Errors: NotFound.
func UserByName(ctx context.Context, db *DB, name string) (*User, error) {
	if HasNUL(name) {
		return nil, rowErrorNotFound("user")
	}
	u := new(User)
	err := db.q.NewSelect().Model(u).Where("username = ?", name).Scan(ctx)
	return u, rowError(err, "user", name)
}

func rowErrorNotFound(what string) error {
	return fmt.Errorf("models: no such %s: %w", what, pulperr.NotFound)
}

// SetPassword replaces the password of an account; an empty one ends log-ins with a password. The hash is one of
// argon2id in Django's form.
//
// Errors: NotFound.
func SetPassword(ctx context.Context, db *DB, name, clear string) error {
	hash := password.Hash(clear)
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		res, err := tx.q.NewUpdate().Model((*User)(nil)).Set("password = ?", hash).Where("username = ?", name).Exec(ctx)
		if err != nil {
			return rowError(err, "user", name)
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return rowErrorNotFound("user")
		}
		return nil
	})
}

// Authenticate returns the active account with a name and a password. It costs tens of milliseconds of a processor, and
// 19 MiB, also if there is no such account. A hash brought along from Django is replaced by one of today's, see
// [SetPassword], once its password is known.
//
// Errors: Unauthorized, whatever does not match.
func Authenticate(ctx context.Context, db *DB, name, clear string) (*User, error) {
	u, err := UserByName(ctx, db, name)
	if err != nil && pulperr.KindOf(err) != pulperr.NotFound {
		return nil, err
	}
	hash := ""
	if err == nil {
		hash = u.Password
	}
	if !password.Verify(hash, clear) || err != nil || !u.IsActive {
		return nil, pulperr.Public(pulperr.Unauthorized, "Invalid username/password.")
	}
	if password.Outdated(hash) {
		if err := renewHash(ctx, db, u, clear); err != nil {
			db.log.WarnContext(ctx, "an outdated password hash is renewed later", "user", name, "err", err)
		}
	}
	return u, nil
}

// renewHash replaces the hash of an account unless somebody else did meanwhile.
func renewHash(ctx context.Context, db *DB, u *User, clear string) error {
	hash := password.Hash(clear)
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := affected(tx.q.NewUpdate().Model((*User)(nil)).Set("password = ?", hash).Where("id = ?", u.ID).
			Where("password = ?", u.Password).Exec(ctx))
		if err == nil && n == 1 {
			u.Password = hash
		}
		return rowError(err, "user", u.Username)
	})
}
