// Package password hashes passwords with argon2id, and verifies the hashes of accounts that were brought along from
// Django: argon2id and PBKDF2 with SHA-256.
package password

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What a new hash costs: about 30 ms of one processor, and 19 MiB. It is the second of the settings that OWASP
// recommends for argon2id.
const (
	passes  = 2
	memory  = 19 * 1024 // KiB
	threads = 1
	saltLen = 16 // bytes
	keyLen  = 32 // bytes
)

// Unusable is a hash that no password has.
const Unusable = "!"

// Hash returns a new hash of a password, in Django's form: "argon2$argon2id$v=19$m=19456,t=2,p=1$<salt>$<key>". That of
// an empty password is [Unusable].
func Hash(password string) string {
	if password == "" {
		return Unusable
	}
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails
	return argon{passes, memory, threads, salt, nil}.with(password).String()
}

// Verify reports whether a password has a hash. An empty password has none, and a hash that is malformed, or that would
// cost more than is allowed, matches no password; they cost as much to refuse as a wrong password for a hash of this
// package.
func Verify(hash, password string) bool {
	var got, want []byte
	if name, rest, _ := strings.Cut(hash, "$"); name == "argon2" {
		if a, ok := parseArgon(rest); ok {
			got, want = a.with(password).key, a.key
		}
	} else if p, ok := parsePBKDF2(hash); ok {
		got, want = p.derive(password), p.key
	}
	if want == nil {
		// The same work as for a hash of this package, so that the time does not reveal accounts without a usable hash.
		argon{passes, memory, threads, make([]byte, saltLen), make([]byte, keyLen)}.with(password)
	}
	return want != nil && password != "" && subtle.ConstantTimeCompare(got, want) == 1
}

// Outdated reports whether a hash that was verified should be replaced by a new one.
func Outdated(hash string) bool {
	return !strings.HasPrefix(hash, argon{passes, memory, threads, nil, nil}.head())
}

// argon is a hash by argon2id.
type argon struct {
	passes  uint32
	memory  uint32 // KiB
	threads uint8
	salt    []byte
	key     []byte
}

// The most that a hash from the database may cost, and the least that makes it one.
const (
	maxPasses  = 20
	maxMemory  = 128 * 1024 // KiB
	maxThreads = 16
	minSalt    = 8  // bytes
	minKey     = 16 // bytes
	maxKey     = 64 // bytes
)

// with returns the hash with the key of a password; its length is that of the key there, or that of new ones.
func (a argon) with(password string) argon {
	n := uint32(keyLen)
	if a.key != nil {
		n = uint32(len(a.key)) //nolint:gosec // at most maxKey
	}
	a.key = argon2.IDKey([]byte(password), a.salt, a.passes, a.memory, a.threads, n)
	return a
}

func (a argon) head() string {
	return fmt.Sprintf("argon2$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, a.memory, a.passes, a.threads)
}

// String returns the hash in Django's form.
func (a argon) String() string {
	enc := base64.RawStdEncoding.EncodeToString
	return a.head() + enc(a.salt) + "$" + enc(a.key)
}

// parseArgon reads what follows "argon2$".
func parseArgon(text string) (a argon, ok bool) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 || parts[0] != "argon2id" || parts[1] != "v="+strconv.Itoa(argon2.Version) {
		return a, false
	}
	costs := map[string]int{}
	for cost := range strings.SplitSeq(parts[2], ",") {
		name, number, _ := strings.Cut(cost, "=")
		n, err := strconv.Atoi(number)
		if _, twice := costs[name]; err != nil || twice {
			return a, false
		}
		costs[name] = n
	}
	var errs [2]error
	a.salt, errs[0] = base64.RawStdEncoding.DecodeString(parts[3])
	a.key, errs[1] = base64.RawStdEncoding.DecodeString(parts[4])
	m, t, p := costs["m"], costs["t"], costs["p"]
	// The bounds keep a hash in the database from taking gigabytes or minutes of each log-in. RFC 9106 demands 8 KiB of
	// memory for each thread.
	if len(costs) != 3 || errs[0] != nil || errs[1] != nil || t < 1 || t > maxPasses || p < 1 || p > maxThreads ||
		m < 8*p || m > maxMemory || len(a.salt) < minSalt || len(a.key) < minKey || len(a.key) > maxKey {
		return a, false
	}
	a.memory, a.passes, a.threads = uint32(m), uint32(t), uint8(p) //nolint:gosec // all within their bounds
	return a, true
}

// pbkdf2Hash is "pbkdf2_sha256$<rounds>$<salt>$<base64 of the key>".
type pbkdf2Hash struct {
	salt   string
	rounds int
	key    []byte
}

const maxRounds = 10_000_000

func parsePBKDF2(hash string) (p pbkdf2Hash, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 4 || parts[0] != "pbkdf2_sha256" {
		return p, false
	}
	rounds, err := strconv.Atoi(parts[1])
	key, keyErr := base64.StdEncoding.DecodeString(parts[3])
	// The bound keeps a hash in the database from taking minutes of each log-in.
	if err != nil || keyErr != nil || rounds < 1 || rounds > maxRounds || len(key) != sha256.Size {
		return p, false
	}
	return pbkdf2Hash{parts[2], rounds, key}, true
}

func (p pbkdf2Hash) derive(password string) []byte {
	key, err := pbkdf2.Key(sha256.New, password, []byte(p.salt), p.rounds, sha256.Size)
	if err != nil {
		return nil // it equals no key
	}
	return key
}
