package password_test

import (
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/password"
)

// The hashes were made by Django 5: make_password("correct horse", "saltsalt", …).
const (
	djangoArgon = "argon2$argon2id$v=19$m=1024,t=2,p=8$c2FsdHNhbHQ$pbAluaIHgsznGB/7wsOyitYNe2cElJ6NNPJn2FpHtpY"
	pbkdf2      = "pbkdf2_sha256$1000$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0="
)

func TestHash(t *testing.T) {
	t.Parallel()
	hash := password.Hash("correct horse")
	if !strings.HasPrefix(hash, "argon2$argon2id$v=19$m=19456,t=2,p=1$") || len(hash) > 128 {
		t.Errorf("hash %q is not Django's form of argon2id, or has more than 128 bytes", hash)
	}
	for _, test := range []struct {
		hash, password string
		want           bool
	}{
		{hash, "correct horse", true},
		{hash, "Correct horse", false},
		{hash, "", false},
		{password.Hash("correct horse"), "correct horse", true},
		{password.Unusable, "", false},
		{password.Unusable, "!", false},
		{"", "", false},
		{djangoArgon, "correct horse", true},
		{djangoArgon, "correct", false},
		{pbkdf2, "correct horse", true},
		{pbkdf2, "correct", false},
	} {
		if got := password.Verify(test.hash, test.password); got != test.want {
			t.Errorf("Verify(%q, %q) = %v, want %v", test.hash, test.password, got, test.want)
		}
	}
	if again := password.Hash("correct horse"); again == hash {
		t.Error("two hashes of one password are equal")
	}
	if password.Hash("") != password.Unusable {
		t.Error("the empty password has a hash")
	}
	if password.Outdated(hash) || !password.Outdated(pbkdf2) || !password.Outdated(djangoArgon) {
		t.Error("only hashes with today's cost are up to date")
	}
}

// What is in the database cannot make the server work, or allocate, without bound.
func TestMalformedHashes(t *testing.T) {
	t.Parallel()
	const salt, key = "c2FsdHNhbHQ", "pbAluaIHgsznGB/7wsOyitYNe2cElJ6NNPJn2FpHtpY"
	for _, hash := range []string{
		"x", "$$$$$", "argon2", "argon2$", pbkdf2 + "$", pbkdf2[:len(pbkdf2)-4],
		strings.Replace(pbkdf2, "1000", "0", 1), strings.Replace(pbkdf2, "1000", "100000000000", 1),
		strings.Replace(pbkdf2, "sha256", "md5", 1),
		"argon2$argon2i$v=19$m=1024,t=2,p=8$" + salt + "$" + key,
		"argon2$argon2id$v=16$m=1024,t=2,p=8$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=4294967295,t=2,p=8$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=1024,t=0,p=8$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=1024,t=2000000000,p=8$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=1024,t=2,p=0$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=1024,t=2,p=256$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=8,t=2,p=8$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=1024,t=2,t=2$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=1024,t=2$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=1024,t=2,p=8,x=1$" + salt + "$" + key,
		"argon2$argon2id$v=19$m=1024,t=2,p=8$c2Fs$" + key,
		"argon2$argon2id$v=19$m=1024,t=2,p=8$" + salt + "$",
		"argon2$argon2id$v=19$m=1024,t=2,p=8$" + salt + "$%%",
		"argon2$argon2id$v=19$m=1024,t=2,p=8$" + salt + "$" + strings.Repeat("A", 1000),
	} {
		if password.Verify(hash, "correct horse") {
			t.Errorf("Verify accepts %q", hash)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(pbkdf2)
	f.Add(djangoArgon)
	f.Fuzz(func(t *testing.T, hash string) {
		if strings.Count(hash, "0") > 4 {
			t.Skip("allowed, and expensive")
		}
		if password.Verify(hash, "") {
			t.Errorf("Verify accepts the empty password for %q", hash)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	hash := password.Hash("correct horse")
	b.ReportAllocs()
	for b.Loop() {
		if !password.Verify(hash, "correct horse") {
			b.Fatal("wrong")
		}
	}
}
