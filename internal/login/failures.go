package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/pulpgo/pulpcore/pulperr"
)

const (
	freeFailures  = 5 // that have no consequences
	firstPause    = time.Second
	longestPause  = time.Minute
	forgetFailure = 15 * time.Minute // without another
	maxFailures   = 10_000           // pairs of source and name that are remembered
)

// Blocked is the error of [Failures.Check].
type Blocked struct {
	Wait time.Duration // after which another try is looked at
}

// Error names the time until the next try.
func (b *Blocked) Error() string {
	return fmt.Sprintf("login: failed too often, blocked for another %s: %s", b.Wait, pulperr.TooMany)
}

// Unwrap makes it an error of kind TooMany, with public text.
func (b *Blocked) Unwrap() error {
	return pulperr.Public(pulperr.TooMany, "Too many failed log-ins; try again in %d s.", b.Seconds())
}

// Seconds are Wait in whole seconds, for the header Retry-After.
func (b *Blocked) Seconds() int { return int((b.Wait + time.Second - 1) / time.Second) }

// Failures count failed log-ins of a name from a source. After five, each one makes the next wait, twice as long as the
// one before: 1 s to a minute. Other sources are not affected, so an attacker cannot lock out the owner of an account.
type Failures struct {
	mu   sync.Mutex
	seen *simplelru.LRU[Key, failure]
	keys keys
}

type failure struct {
	count int
	last  time.Time
	until time.Time
}

// NewFailures returns an empty count.
func NewFailures() *Failures {
	// An attacker can make up any number of names, so the oldest pairs are dropped.
	seen, err := simplelru.NewLRU[Key, failure](maxFailures, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Failures{seen: seen, keys: newKeys()}
}

// Check returns nil if a log-in may be tried now.
//
// Errors: a [Blocked].
func (f *Failures) Check(source, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, _ := f.seen.Get(f.keys.of(source, name))
	if wait := time.Until(was.until); wait > 0 {
		return &Blocked{wait}
	}
	return nil
}

// Add counts a failure.
func (f *Failures) Add(source, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key, now := f.keys.of(source, name), time.Now()
	was, _ := f.seen.Get(key)
	if now.Sub(was.last) > forgetFailure {
		was = failure{}
	}
	was.last = now
	if was.count++; was.count > freeFailures {
		// The shift is bounded, because after many failures it would overflow to a time in the past.
		was.until = now.Add(min(firstPause<<min(was.count-freeFailures-1, 10), longestPause))
	}
	f.seen.Add(key, was)
}

// Forget is for a log-in that succeeded.
func (f *Failures) Forget(source, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen.Remove(f.keys.of(source, name))
}

// Key stands for strings without containing them.
type Key [sha256.Size]byte

// keys makes keys that are of no use outside this process.
type keys struct{ secret [32]byte }

func newKeys() (k keys) {
	_, _ = rand.Read(k.secret[:]) // never fails
	return k
}

func (k *keys) of(parts ...string) (key Key) {
	// With a secret of this process, because a plain hash of name and password could be searched in a memory dump.
	mac := hmac.New(sha256.New, k.secret[:])
	for _, part := range parts {
		// Each part is hashed alone, so that the border between the parts counts: "ab", "c" is not "a", "bc".
		sum := sha256.Sum256([]byte(part))
		mac.Write(sum[:])
	}
	mac.Sum(key[:0])
	return key
}
