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
