package hashlib_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

func Example() {
	sums, err := hashlib.Allow("sha256", "md5") // the setting ALLOWED_CONTENT_CHECKSUMS
	if err != nil {
		fmt.Println(err)
		return
	}
	w := sums.Writer()
	_, err = io.Copy(w, strings.NewReader("hello"))
	fmt.Println(w.Digests().MD5, w.Size(), err)

	promised := &hashlib.Expect{Digests: hashlib.Digests{MD5: strings.Repeat("0", 32)}, Size: hashlib.Size(5)}
	fmt.Println(promised.Validate(sums), promised.Check(w.Digests(), w.Size()))

	_, err = sums.New(hashlib.SHA1)
	fmt.Println(errors.Is(err, pulperr.Unsupported), err)
	// Output:
	// 5d41402abc4b2a76b9719d911017c592 5 <nil>
	// <nil> md5 digest is 5d41402abc4b2a76b9719d911017c592, expected 00000000000000000000000000000000
	// true checksum "sha1" is not in ALLOWED_CONTENT_CHECKSUMS
}

// A plugin hands out the checksums of upstream metadata only as far as they are allowed. Its tasks have the set as
// env.DB.Checksums().
func ExampleChecksums_FilterMap() {
	sums := hashlib.Default()
	upstream := map[string]string{"SHA256": "2cf2…", "md5": "5d41…", "sha": "aaf4…"} // RPM's name for sha1
	fmt.Println(sums.FilterMap(upstream))

	parsed := hashlib.Digests{SHA256: "2cf2…", MD5: "5d41…"}
	for algorithm, digest := range sums.Filter(parsed).All() {
		fmt.Println(algorithm, digest)
	}
	// Output:
	// map[SHA256:2cf2…]
	// sha256 2cf2…
}
