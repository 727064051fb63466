package hashlib_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestExpectValidate(t *testing.T) {
	t.Parallel()
	all := reference(nil)
	for _, row := range []struct {
		name   string
		expect *hashlib.Expect
		kind   pulperr.Kind // 0 means valid
	}{
		{"nil", nil, 0},
		{"nothing", &hashlib.Expect{}, 0},
		{"an empty file", &hashlib.Expect{Size: hashlib.Size(0)}, 0},
		{"all digests", &hashlib.Expect{Digests: all}, 0},
		{"a negative size", &hashlib.Expect{Size: hashlib.Size(-1)}, pulperr.Invalid},
		{"a short digest", &hashlib.Expect{Digests: hashlib.Digests{SHA256: all.MD5}}, pulperr.Invalid},
		{"uppercase", &hashlib.Expect{Digests: hashlib.Digests{MD5: strings.ToUpper(all.MD5)}}, pulperr.Invalid},
		{"no hex", &hashlib.Expect{Digests: hashlib.Digests{MD5: strings.Repeat("g", 32)}}, pulperr.Invalid},
		{"only forbidden ones", &hashlib.Expect{Digests: hashlib.Digests{MD5: all.MD5}}, pulperr.Unsupported},
		{
			"one allowed beside a forbidden one",
			&hashlib.Expect{Digests: hashlib.Digests{MD5: all.MD5, SHA224: all.SHA224}}, 0,
		},
		{
			"a malformed forbidden one",
			&hashlib.Expect{Digests: hashlib.Digests{MD5: "x", SHA224: all.SHA224}}, pulperr.Invalid,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			err := row.expect.Validate(hashlib.Default())
			if row.kind == 0 && err != nil || row.kind != 0 && !errors.Is(err, row.kind) {
				t.Errorf("Validate() = %v, want %v", err, row.kind)
			}
		})
	}
}

func TestExpectCheck(t *testing.T) {
	t.Parallel()
	got := hashlib.Default().Filter(reference([]byte("abc"))) // without md5 and sha1
	wrong := reference([]byte("abd"))
	for _, row := range []struct {
		name   string
		expect *hashlib.Expect
		code   string // "" means accepted
	}{
		{"nil", nil, ""},
		{"nothing", &hashlib.Expect{}, ""},
		{"all right", &hashlib.Expect{Digests: reference([]byte("abc")), Size: hashlib.Size(3)}, ""},
		{"a forbidden digest is passed over", &hashlib.Expect{Digests: hashlib.Digests{MD5: wrong.MD5}}, ""},
		{"a wrong digest", &hashlib.Expect{Digests: hashlib.Digests{SHA224: wrong.SHA224}}, "PLP0003"},
		{"a wrong size", &hashlib.Expect{Size: hashlib.Size(4)}, "PLP0004"},
		{"not empty", &hashlib.Expect{Size: hashlib.Size(0)}, "PLP0004"},
		{"the size comes first", &hashlib.Expect{Digests: wrong, Size: hashlib.Size(4)}, "PLP0004"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			err := row.expect.Check(got, 3)
			if pulperr.Code(err) != row.code || (err == nil) != (row.code == "") {
				t.Errorf("Check() = %v, want code %q", err, row.code)
			}
			if err != nil && (!errors.Is(err, pulperr.Invalid) || pulperr.Message(err) != err.Error()) {
				t.Errorf("Check() = %v of kind %v, for clients %q", err, pulperr.KindOf(err), pulperr.Message(err))
			}
		})
	}
}

func TestMismatchErrorsCarryBothSides(t *testing.T) {
	t.Parallel()
	err := (&hashlib.Expect{Digests: hashlib.SHA256Hex("aa")}).Check(hashlib.SHA256Hex("bb"), 1)
	digest, ok := errors.AsType[*hashlib.DigestMismatchError](err)
	if !ok || digest.Algorithm != "sha256" || digest.Want != "aa" || digest.Got != "bb" {
		t.Errorf("Check() = %#v", err)
	}
	err = (&hashlib.Expect{Size: hashlib.Size(5)}).Check(hashlib.Digests{}, 6)
	size, ok := errors.AsType[*hashlib.SizeMismatchError](err)
	if !ok || size.Want != 5 || size.Got != 6 {
		t.Errorf("Check() = %#v", err)
	}
}

// FuzzExpectValidate: what is valid is exactly hex of the right length, and can then be met by the right bytes only.
func FuzzExpectValidate(f *testing.F) {
	ref := reference([]byte("abc"))
	f.Add(ref.SHA256, ref.MD5, int64(3))
	f.Add("", ref.MD5, int64(-1))
	f.Add(strings.ToUpper(ref.SHA256), "", int64(0))
	f.Add(ref.SHA256[:63]+"é", "x", int64(1))
	f.Fuzz(func(t *testing.T, sha256, md5 string, size int64) {
		e := &hashlib.Expect{Digests: hashlib.Digests{SHA256: sha256, MD5: md5}, Size: &size}
		err := e.Validate(hashlib.Default())
		valid := size >= 0 && wellFormed(sha256, 64) && wellFormed(md5, 32) && (sha256 != "" || md5 == "")
		if (err == nil) != valid {
			t.Fatalf("Validate(%q, %q, %d) = %v", sha256, md5, size, err)
		}
		if err != nil {
			if k := pulperr.KindOf(err); k != pulperr.Invalid && k != pulperr.Unsupported {
				t.Fatalf("Validate() is of kind %v", k)
			}
			return
		}
		met := size == 3 && (sha256 == "" || sha256 == ref.SHA256)
		if got := e.Check(hashlib.Default().Filter(ref), 3); (got == nil) != met {
			t.Fatalf("Check(%q, %d) = %v", sha256, size, got)
		}
	})
}

func wellFormed(s string, n int) bool {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return s == "" || len(s) == n
}
