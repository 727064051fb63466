package login

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxKnown is how many verified credentials are remembered.
	maxKnown = 1000
	// FreshFor is how long a remembered account is used before it is read from the database again.
	FreshFor = 10 * time.Second
	// idleFor is how long unused credentials are remembered.
	idleFor = 5 * time.Minute
	// knownFor is how long a password is not verified again, however much it is used.
	knownFor = time.Hour
)

// Known remembers credentials that were verified, and whose they are, so that not every request of a client costs the
// verification of a password.
type Known[U any] struct {
	mu   sync.Mutex
	seen *simplelru.LRU[Key, known[U]]
	keys keys
}

type known[U any] struct {
	user                    U
	verified, checked, used time.Time
}

// NewKnown returns an empty memory.
func NewKnown[U any]() *Known[U] {
	seen, err := simplelru.NewLRU[Key, known[U]](maxKnown, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Known[U]{seen: seen, keys: newKeys()}
}

// Recall returns whose the credentials are, if that is remembered, and whether it can be believed without a look at the
// account.
func (k *Known[U]) Recall(name, password string) (user U, fresh, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, now := k.keys.of(name, password), time.Now()
	was, ok := k.seen.Get(key)
	if !ok || now.Sub(was.used) > idleFor || now.Sub(was.verified) > knownFor {
		k.seen.Remove(key)
		return user, false, false
	}
	was.used = now
	k.seen.Add(key, was)
	// A changed password or an account that was switched off must take effect although the credentials are remembered.
	return was.user, now.Sub(was.checked) < FreshFor, true
}

// Remember is for credentials that were verified.
func (k *Known[U]) Remember(name, password string, user U) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.seen.Add(k.keys.of(name, password), known[U]{user, now, now, now})
}

// Refresh is for remembered credentials whose account was looked at again.
func (k *Known[U]) Refresh(name, password string, user U) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.keys.of(name, password)
	// Another request may have called Forget meanwhile: the credentials must not come back.
	if was, ok := k.seen.Get(key); ok {
		was.user, was.checked = user, time.Now()
		k.seen.Add(key, was)
	}
}

// Forget is for credentials that are no longer right.
func (k *Known[U]) Forget(name, password string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen.Remove(k.keys.of(name, password))
}
