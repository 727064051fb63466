package hashlib

import (
	"fmt"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Expect holds the digests and the size that bytes must have. The zero value, like nil, accepts any bytes.
type Expect struct {
	Digests Digests
	Size    *int64 // bytes; nil means unknown, and 0 really means empty
}

// Size returns a pointer to n, for [Expect].Size.
func Size(n int64) *int64 { return &n }

// Validate checks that e can be fulfilled with the allowed algorithms: every digest given is well-formed lowercase
// hex, and if any digests are given at least one of them is allowed. Call it before any byte is moved. A nil e is
// valid.
//
// Errors: Invalid for a malformed digest or a negative size, [UnsupportedError] if no digest given is allowed.
func (e *Expect) Validate(c *Checksums) error {
	if e == nil {
		return nil
	}
	if e.Size != nil && *e.Size < 0 {
		return pulperr.Field("size", "%d is negative", *e.Size)
	}
	var weakest Algorithm
	usable := false
	for a, h := range e.Digests.All() {
		// Check compares texts, and computed digests are in lower case.
		if len(h) != a.HexLen() || strings.Trim(h, "0123456789abcdef") != "" {
			return pulperr.Field(string(a), "%q is not a digest of %d hex characters", h, a.HexLen())
		}
		// All yields the strongest first, so the last one is the weakest.
		weakest = a
		usable = usable || c.Allowed(a)
	}
	if weakest != "" && !usable {
		return &UnsupportedError{Algorithm: weakest}
	}
	return nil
}

// Check compares bytes that were read completely with the expected ones: the size first, then each digest that both
// sides know. Digests that were not computed because they are not allowed are passed over. A nil e accepts everything.
//
// Errors: [SizeMismatchError] or [DigestMismatchError].
func (e *Expect) Check(got Digests, size int64) error {
	if e == nil {
		return nil
	}
	if e.Size != nil && *e.Size != size {
		return &SizeMismatchError{Want: *e.Size, Got: size}
	}
	for a, want := range e.Digests.All() {
		// A digest that is not allowed was not computed.
		if have := got.Get(a); have != "" && have != want {
			return &DigestMismatchError{Algorithm: a, Want: want, Got: have}
		}
	}
	return nil
}

// DigestMismatchError reports that bytes do not have the expected digest. It is of kind Invalid and has Pulp's
// code PLP0003.
type DigestMismatchError struct {
	Algorithm Algorithm
	Want, Got string // lowercase hex
}

// Error names both digests.
func (e *DigestMismatchError) Error() string {
	return fmt.Sprintf("%s digest is %s, expected %s", e.Algorithm, e.Got, e.Want)
}

// Unwrap returns pulperr.Invalid.
func (e *DigestMismatchError) Unwrap() error { return pulperr.Invalid }

// PublicText returns the same text as Error.
func (e *DigestMismatchError) PublicText() string { return e.Error() }

// ErrorCode returns "PLP0003".
func (e *DigestMismatchError) ErrorCode() string { return "PLP0003" }

// SizeMismatchError reports that there are more or fewer bytes than expected. It is of kind Invalid and has Pulp's code
// PLP0004.
type SizeMismatchError struct {
	Want, Got int64 // bytes; Got is a lower bound if reading stopped at the first byte too many
}

// Error names both sizes.
func (e *SizeMismatchError) Error() string {
	return fmt.Sprintf("size is %d bytes, expected %d", e.Got, e.Want)
}

// Unwrap returns pulperr.Invalid.
func (e *SizeMismatchError) Unwrap() error { return pulperr.Invalid }

// PublicText returns the same text as Error.
func (e *SizeMismatchError) PublicText() string { return e.Error() }

// ErrorCode returns "PLP0004".
func (e *SizeMismatchError) ErrorCode() string { return "PLP0004" }
