package hashlib

import (
	"iter"
	"strings"
)

// Algorithm names a checksum algorithm, lowercase as in Pulp's settings and JSON: "sha256".
type Algorithm string

// The six algorithms that Pulp knows.
const (
	MD5    Algorithm = "md5"
	SHA1   Algorithm = "sha1"
	SHA224 Algorithm = "sha224"
	SHA256 Algorithm = "sha256"
	SHA384 Algorithm = "sha384"
	SHA512 Algorithm = "sha512"
)

// Known lists the six algorithms, strongest first.
func Known() []Algorithm { return []Algorithm{SHA512, SHA384, SHA256, SHA224, SHA1, MD5} }

// HexLen returns the number of hex characters of a digest, or 0 for an unknown algorithm.
func (a Algorithm) HexLen() int {
	switch a {
	case MD5:
		return 32
	case SHA1:
		return 40
	case SHA224:
		return 56
	case SHA256:
		return 64
	case SHA384:
		return 96
	case SHA512:
		return 128
	}
	return 0
}

// Digests holds at most one digest per algorithm, as lowercase hex; the empty string means unknown. It is a plain
// comparable value. The tags make it six columns of a table and six keys of a JSON object.
type Digests struct {
	MD5    string `bun:"md5,nullzero"    json:"md5,omitempty"`
	SHA1   string `bun:"sha1,nullzero"   json:"sha1,omitempty"`
	SHA224 string `bun:"sha224,nullzero" json:"sha224,omitempty"`
	SHA256 string `bun:"sha256,nullzero" json:"sha256,omitempty"`
	SHA384 string `bun:"sha384,nullzero" json:"sha384,omitempty"`
	SHA512 string `bun:"sha512,nullzero" json:"sha512,omitempty"`
}

// SHA256Hex returns Digests that hold one sha256, given as hex in either case.
func SHA256Hex(hex string) Digests { return Digests{SHA256: strings.ToLower(hex)} }

// Get returns the digest for a, or "" if it is unknown.
func (d Digests) Get(a Algorithm) string {
	if p := d.at(a); p != nil {
		return *p
	}
	return ""
}

// Set stores hex (in either case) as the digest for a. It panics for an algorithm that is not one of the six.
func (d *Digests) Set(a Algorithm, hex string) { *d.at(a) = strings.ToLower(hex) }

// All yields the known digests, strongest algorithm first.
func (d Digests) All() iter.Seq2[Algorithm, string] {
	return func(yield func(Algorithm, string) bool) {
		for _, a := range Known() {
			if h := d.Get(a); h != "" && !yield(a, h) {
				return
			}
		}
	}
}

// IsZero reports whether no digest is known.
func (d Digests) IsZero() bool { return d == Digests{} }

func (d *Digests) at(a Algorithm) *string {
	switch a {
	case MD5:
		return &d.MD5
	case SHA1:
		return &d.SHA1
	case SHA224:
		return &d.SHA224
	case SHA256:
		return &d.SHA256
	case SHA384:
		return &d.SHA384
	case SHA512:
		return &d.SHA512
	}
	return nil
}
