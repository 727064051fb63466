package hashlib_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/pulpgo/pulpcore/hashlib"
)

func TestDigestsGetAndSet(t *testing.T) {
	t.Parallel()
	var d hashlib.Digests
	if !d.IsZero() {
		t.Error("the zero Digests is not zero")
	}
	for _, a := range hashlib.Known() {
		d.Set(a, "AB"+string(a))
		if got := d.Get(a); got != "ab"+string(a) {
			t.Errorf("Get(%s) = %q after Set", a, got)
		}
	}
	if d.IsZero() || d.Get("crc32") != "" || hashlib.Algorithm("crc32").HexLen() != 0 {
		t.Error("an unknown algorithm is known")
	}
	if got := hashlib.SHA256Hex("AB"); got != (hashlib.Digests{SHA256: "ab"}) {
		t.Errorf("SHA256Hex() = %+v", got)
	}
}

func TestDigestsAll(t *testing.T) {
	t.Parallel()
	d := hashlib.Digests{MD5: "1", SHA512: "2", SHA256: "3"}
	var order []hashlib.Algorithm
	for a := range d.All() {
		order = append(order, a)
	}
	if want := []hashlib.Algorithm{"sha512", "sha256", "md5"}; !slices.Equal(order, want) {
		t.Errorf("All() = %v, want %v", order, want)
	}
	if got := maps.Collect(d.All()); len(got) != 3 || got["md5"] != "1" {
		t.Errorf("All() = %v", got)
	}
	for range d.All() { // stopping early is allowed
		break
	}
}

func TestDigestsAsJSON(t *testing.T) {
	t.Parallel()
	want := `{"md5":"1","sha256":"3"}`
	b, err := json.Marshal(hashlib.Digests{MD5: "1", SHA256: "3"})
	if err != nil || string(b) != want {
		t.Errorf("Marshal() = %s, %v, want %s", b, err, want)
	}
}
