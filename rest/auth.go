package rest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Authenticator finds out who sends a request. It must be safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the user, or nil if the request brings no credentials that it knows.
	//
	// Errors: Unauthorized for credentials that are wrong.
	Authenticate(r *http.Request) (*models.User, error)
}

// BasicAuth returns an [Authenticator] for HTTP basic authentication against the accounts in the database. Since
// verifying a password is expensive on purpose, a success is remembered for 30 seconds: that long an account may still
// be used after its password changed or it was switched off.
func BasicAuth(db *models.DB) Authenticator {
	b := &basicAuth{db: db, known: map[[sha256.Size]byte]knownUser{}, running: make(chan struct{}, maxVerifying)}
	_, _ = rand.Read(b.secret[:]) // never fails
	return b
}

const (
	// rememberFor is how long a verified password is not verified again.
	rememberFor = 30 * time.Second
	// maxKnown is how many verified credentials are remembered.
	maxKnown = 1000
	// maxVerifying is how many passwords are verified at a time, so that guessing them does not take all processors.
	maxVerifying = 4
	// maxPassword is the longest password that is looked at, in bytes.
	maxPassword = 4096
)

type basicAuth struct {
	db      *models.DB
	secret  [32]byte
	running chan struct{}

	mu    sync.Mutex
	known map[[sha256.Size]byte]knownUser
}

type knownUser struct {
	user  *models.User
	until time.Time
}

func (b *basicAuth) Authenticate(r *http.Request) (*models.User, error) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return nil, nil
	}
	if len(name)+len(password) > maxPassword {
		return nil, pulperr.Public(pulperr.Unauthorized, "Invalid username/password.")
	}
	key := b.key(name, password)
	if u := b.recall(key); u != nil {
		return u, nil
	}
	ctx := r.Context()
	select {
	case b.running <- struct{}{}:
		defer func() { <-b.running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if u := b.recall(key); u != nil { // somebody else was asked the same meanwhile
		return u, nil
	}
	u, err := models.Authenticate(ctx, b.db, name, password)
	if err != nil {
		return nil, err
	}
	b.remember(key, u)
	return u, nil
}

// key stands for credentials without containing them.
func (b *basicAuth) key(name, password string) (key [sha256.Size]byte) {
	mac := hmac.New(sha256.New, b.secret[:])
	mac.Write([]byte(name))
	mac.Write([]byte{0})
	mac.Write([]byte(password))
	mac.Sum(key[:0])
	return key
}

func (b *basicAuth) recall(key [sha256.Size]byte) *models.User {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.known[key]
	if !ok || time.Now().After(k.until) {
		return nil
	}
	return k.user
}

func (b *basicAuth) remember(key [sha256.Size]byte, u *models.User) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if len(b.known) >= maxKnown {
		for old, k := range b.known {
			if now.After(k.until) {
				delete(b.known, old)
			}
		}
	}
	if len(b.known) >= maxKnown {
		clear(b.known)
	}
	b.known[key] = knownUser{u, now.Add(rememberFor)}
}
