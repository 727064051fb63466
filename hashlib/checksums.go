// Package hashlib computes and compares checksums. The setting ALLOWED_CONTENT_CHECKSUMS becomes a [Checksums] value:
// [Checksums.Writer] computes all allowed digests in one pass, [Checksums.New] returns a single hash, and
// [Checksums.Filter] drops the digests of other metadata that are not allowed. [Expect] compares computed digests and
// sizes with expected ones.
//
// Do not import crypto/… for checksums of content: only this package refuses an algorithm that is not allowed, with an
// error of kind Unsupported.
package hashlib

import (
	"crypto/md5"  //nolint:gosec // an algorithm of the content, not of a protocol
	"crypto/sha1" //nolint:gosec // same
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Checksums is the set of checksum algorithms that an installation may generate and hand out. It always contains
// sha256. It is immutable and safe for concurrent use. Mirrors Pulp's ALLOWED_CONTENT_CHECKSUMS.
type Checksums struct {
	allowed []Algorithm // strongest first
}

// Default returns Pulp's default set: sha224, sha256, sha384 and sha512.
func Default() *Checksums {
	return &Checksums{allowed: []Algorithm{SHA512, SHA384, SHA256, SHA224}}
}

// Allow returns the set of the named algorithms. Order and repetition do not matter.
//
// Errors: Invalid, naming every fault: an unknown name, or sha256 missing.
func Allow(names ...string) (*Checksums, error) {
	var faults []string
	var allowed []Algorithm
	// The set has the order of Known, whatever the order of names, because List returns the strongest first.
	for _, a := range Known() {
		if slices.Contains(names, string(a)) {
			allowed = append(allowed, a)
		}
	}
	for _, n := range names {
		if !slices.Contains(Known(), Algorithm(n)) {
			faults = append(faults, fmt.Sprintf("%q is not a known checksum; known are "+
				"md5, sha1, sha224, sha256, sha384 and sha512", n))
		}
	}
	if !slices.Contains(names, string(SHA256)) {
		faults = append(faults, "sha256 must be allowed, it identifies artifacts")
	}
	if faults != nil {
		return nil, fmt.Errorf("hashlib: allow: %w",
			pulperr.Public(pulperr.Invalid, "%s", strings.Join(faults, "; ")))
	}
	return &Checksums{allowed: allowed}, nil
}

// List returns the allowed algorithms, strongest first. The caller may keep the slice.
func (c *Checksums) List() []Algorithm { return slices.Clone(c.allowed) }

// Allowed reports whether a may be used.
func (c *Checksums) Allowed(a Algorithm) bool { return slices.Contains(c.allowed, a) }

// New returns a fresh hash.
//
// Errors: an [UnsupportedError] if a is not allowed. Mirrors pulpcore.plugin.pulp_hashlib.new.
func (c *Checksums) New(a Algorithm) (hash.Hash, error) {
	if !c.Allowed(a) {
		return nil, &UnsupportedError{Algorithm: a}
	}
	return newHash(a), nil
}

// Filter returns d without the digests that may not be handed out.
func (c *Checksums) Filter(d Digests) Digests {
	for _, a := range Known() {
		if !c.Allowed(a) {
			// d is a copy, so the digests of the caller stay.
			d.Set(a, "")
		}
	}
	return d
}

// FilterMap is [Checksums.Filter] for checksum data kept by name, as plugins read it from metadata: what a plugin
// writes into metadata of its own must have gone through one of the two. Names are matched without regard to case;
// other names than those of the six algorithms, such as "sha", are dropped. The map given is not changed.
func (c *Checksums) FilterMap(byName map[string]string) map[string]string {
	out := make(map[string]string, len(byName))
	for name, v := range byName {
		if c.Allowed(Algorithm(strings.ToLower(name))) {
			out[name] = v
		}
	}
	return out
}

// UnsupportedError reports that an algorithm is not allowed in this installation. It is of kind Unsupported and has
// Pulp's code PLP0020.
type UnsupportedError struct {
	Algorithm Algorithm
}

// Error names the algorithm.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("checksum %q is not in ALLOWED_CONTENT_CHECKSUMS", string(e.Algorithm))
}

// Unwrap returns pulperr.Unsupported.
func (e *UnsupportedError) Unwrap() error { return pulperr.Unsupported }

// PublicText returns the same text as Error.
func (e *UnsupportedError) PublicText() string { return e.Error() }

// ErrorCode returns "PLP0020".
func (e *UnsupportedError) ErrorCode() string { return "PLP0020" }

func newHash(a Algorithm) hash.Hash {
	switch a {
	case MD5:
		return md5.New() //nolint:gosec // see the import
	case SHA1:
		return sha1.New() //nolint:gosec // see the import
	case SHA224:
		return sha256.New224()
	case SHA256:
		return sha256.New()
	case SHA384:
		return sha512.New384()
	default:
		// Allow and New let only known algorithms pass.
		return sha512.New()
	}
}
