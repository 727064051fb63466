package hashlib_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestAllow(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		names  []string
		want   []hashlib.Algorithm
		faults []string
	}{
		{"strongest first", []string{"md5", "sha256", "sha512"}, []hashlib.Algorithm{"sha512", "sha256", "md5"}, nil},
		{"repetition", []string{"sha256", "sha256"}, []hashlib.Algorithm{"sha256"}, nil},
		{"nothing", nil, nil, []string{"sha256 must be allowed"}},
		{
			"every fault",
			[]string{"crc32", "SHA256"},
			nil,
			[]string{`"crc32" is not a known`, `"SHA256" is not a known`, "sha256 must be allowed"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c, err := hashlib.Allow(row.names...)
			if len(row.faults) == 0 {
				if err != nil || !cmp.Equal(c.List(), row.want) {
					t.Errorf("Allow(%q) = %v, %v, want %v", row.names, c, err, row.want)
				}
				return
			}
			if !errors.Is(err, pulperr.Invalid) {
				t.Errorf("Allow(%q) = %v, want Invalid", row.names, err)
			}
			for _, f := range row.faults {
				if !strings.Contains(pulperr.Message(err), f) {
					t.Errorf("Allow(%q) = %q, want %q", row.names, pulperr.Message(err), f)
				}
			}
		})
	}
}

func TestDefaultIsPulps(t *testing.T) {
	t.Parallel()
	c := hashlib.Default()
	if want := []hashlib.Algorithm{"sha512", "sha384", "sha256", "sha224"}; !cmp.Equal(c.List(), want) {
		t.Errorf("List() = %v, want %v", c.List(), want)
	}
	c.List()[0] = "md5"
	if c.Allowed("md5") || !c.Allowed("sha512") {
		t.Error("changing the list that was returned changed the set")
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	c := allSix(t)
	want := reference([]byte("abc"))
	for _, a := range hashlib.Known() {
		h, err := c.New(a)
		if err != nil {
			t.Fatalf("New(%s) = %v", a, err)
		}
		if h.Size()*2 != a.HexLen() {
			t.Errorf("New(%s) has %d bytes, HexLen() = %d", a, h.Size(), a.HexLen())
		}
		h.Write([]byte("abc"))
		if got := string(hexOf(h.Sum(nil))); got != want.Get(a) {
			t.Errorf("%s of abc = %s, want %s", a, got, want.Get(a))
		}
	}
}

func hexOf(b []byte) []byte {
	const digits = "0123456789abcdef"
	var out []byte
	for _, x := range b {
		out = append(out, digits[x>>4], digits[x&15])
	}
	return out
}

func TestNewRefusesWhatIsNotAllowed(t *testing.T) {
	t.Parallel()
	for _, a := range []hashlib.Algorithm{"md5", "crc32", ""} {
		_, err := hashlib.Default().New(a)
		unsupported, ok := errors.AsType[*hashlib.UnsupportedError](err)
		if !ok || unsupported.Algorithm != a || !errors.Is(err, pulperr.Unsupported) {
			t.Errorf("New(%q) = %v, want an UnsupportedError", a, err)
		}
		if pulperr.Code(err) != "PLP0020" || !strings.Contains(pulperr.Message(err), "ALLOWED_CONTENT_CHECKSUMS") {
			t.Errorf("New(%q): code %q, message %q", a, pulperr.Code(err), pulperr.Message(err))
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	all := reference([]byte("x"))
	want := hashlib.Digests{SHA256: all.SHA256, MD5: all.MD5}
	c := allow(t, "sha256", "md5")
	if got := c.Filter(all); got != want {
		t.Errorf("Filter() = %+v, want %+v", got, want)
	}
	given := map[string]string{"SHA256": "a", "sha1": "b", "md5": "c", "crc32": "d"}
	got := c.FilterMap(given)
	if diff := cmp.Diff(map[string]string{"SHA256": "a", "md5": "c"}, got); diff != "" || len(given) != 4 {
		t.Errorf("FilterMap() (-want +got):\n%s", diff)
	}
}
