package hashlib_test

import (
	"crypto/md5"  //nolint:gosec // an algorithm of the content
	"crypto/sha1" //nolint:gosec // same
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/pulpgo/pulpcore/hashlib"
)

// allow is Allow for names that are right.
func allow(tb testing.TB, names ...string) *hashlib.Checksums {
	tb.Helper()
	c, err := hashlib.Allow(names...)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func allSix(tb testing.TB) *hashlib.Checksums {
	tb.Helper()
	return allow(tb, "md5", "sha1", "sha224", "sha256", "sha384", "sha512")
}

// reference computes all six digests with nothing of this package.
func reference(b []byte) hashlib.Digests {
	m, s1, s224, s256 := md5.Sum(b), sha1.Sum(b), sha256.Sum224(b), sha256.Sum256(b) //nolint:gosec // see the imports
	s384, s512 := sha512.Sum384(b), sha512.Sum512(b)
	return hashlib.Digests{
		MD5: hex.EncodeToString(m[:]), SHA1: hex.EncodeToString(s1[:]), SHA224: hex.EncodeToString(s224[:]),
		SHA256: hex.EncodeToString(s256[:]), SHA384: hex.EncodeToString(s384[:]), SHA512: hex.EncodeToString(s512[:]),
	}
}

// noise returns n bytes that are the same in every run.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}
