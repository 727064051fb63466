package models

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

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
func CreateUser(ctx context.Context, db *DB, u *User, password string) error {
	if u.Username == "" || utf8.RuneCountInString(u.Username) > maxUsername ||
		strings.ContainsFunc(u.Username, func(r rune) bool { return !usernameRune(r) }) {
		return pulperr.Field("username", "Enter a valid username. This value may contain only letters, numbers, and "+
			"@/./+/-/_ characters, at most %d of them.", maxUsername)
	}
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	u.Password = hash
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

// SetPassword replaces the password of an account; an empty one ends log-ins with a password.
//
// Errors: NotFound.
func SetPassword(ctx context.Context, db *DB, name, password string) error {
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
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

// Authenticate returns the active account with a name and a password. It costs tens of milliseconds of CPU, also if
// there is no such account, so that its answer does not tell which names exist.
//
// Errors: Unauthorized, whatever does not match.
func Authenticate(ctx context.Context, db *DB, name, password string) (*User, error) {
	u, err := UserByName(ctx, db, name)
	if err != nil && pulperr.KindOf(err) != pulperr.NotFound {
		return nil, err
	}
	hash := ""
	if err == nil {
		hash = u.Password
	}
	if !checkPassword(hash, password) || err != nil || !u.IsActive {
		return nil, pulperr.Public(pulperr.Unauthorized, "Invalid username/password.")
	}
	return u, nil
}

// The form of a hash is Django's, so that accounts can be brought along: pbkdf2_sha256$<rounds>$<salt>$<base64>.
const (
	hashName   = "pbkdf2_sha256"
	hashRounds = 600_000
	hashLength = sha256.Size
	maxRounds  = 10_000_000
)

func hashPassword(password string) (string, error) {
	if password == "" {
		return "!", nil // matches nothing
	}
	salt := rand.Text()
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), hashRounds, hashLength)
	if err != nil {
		return "", fmt.Errorf("models: hash password: %w", err)
	}
	sum := base64.StdEncoding.EncodeToString(key)
	return strings.Join([]string{hashName, strconv.Itoa(hashRounds), salt, sum}, "$"), nil
}

// checkPassword reports whether a password has a hash. Malformed hashes cost as much as others and match nothing.
func checkPassword(hash, password string) bool {
	salt, rounds, want := "none", hashRounds, []byte(nil)
	if parts := strings.Split(hash, "$"); len(parts) == 4 && parts[0] == hashName {
		n, err := strconv.Atoi(parts[1])
		key, keyErr := base64.StdEncoding.DecodeString(parts[3])
		if err == nil && keyErr == nil && n > 0 && n <= maxRounds && len(key) == hashLength {
			salt, rounds, want = parts[2], n, key
		}
	}
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), rounds, hashLength)
	return err == nil && want != nil && password != "" && subtle.ConstantTimeCompare(key, want) == 1
}
