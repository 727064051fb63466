// Package core has the answers about the rows of the core: their structs, the statements that read their parts, and the
// filters of their lists.
package core

import (
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Row is what answers about all rows have.
type Row struct {
	Href    wire.Href `json:"pulp_href" doc:"Where the resource is."`
	PRN     string    `json:"prn" doc:"The Pulp Resource Name."`
	Created wire.Time `json:"pulp_created" doc:"When it was created."`
	Updated wire.Time `json:"pulp_last_updated" doc:"When it was changed last."`
}

func rowOf(l *links.Links, kind string, b models.Base) Row {
	return Row{
		wire.Href(l.Href(kind, b.ID)), models.CorePRN(kind, b.ID), wire.Time(b.Created), wire.Time(b.Updated),
	}
}

// Digests are the digests of a file, null where they are not known.
type Digests struct {
	MD5    *string `json:"md5" doc:"The md5 digest of the file."`
	SHA1   *string `json:"sha1" doc:"The sha1 digest of the file."`
	SHA224 *string `json:"sha224" doc:"The sha224 digest of the file."`
	SHA256 *string `json:"sha256" doc:"The sha256 digest of the file."`
	SHA384 *string `json:"sha384" doc:"The sha384 digest of the file."`
	SHA512 *string `json:"sha512" doc:"The sha512 digest of the file."`
}

// DigestsOf returns the digests that a file has.
func DigestsOf(d hashlib.Digests) Digests {
	get := func(a hashlib.Algorithm) *string { return orNull(d.Get(a)) }
	return Digests{
		get(hashlib.MD5), get(hashlib.SHA1), get(hashlib.SHA224), get(hashlib.SHA256), get(hashlib.SHA384),
		get(hashlib.SHA512),
	}
}

// Algorithms returns the algorithms in the order of answers.
func Algorithms() []hashlib.Algorithm {
	return []hashlib.Algorithm{
		hashlib.MD5, hashlib.SHA1, hashlib.SHA224, hashlib.SHA256, hashlib.SHA384, hashlib.SHA512,
	}
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// orEmpty keeps a nil slice from becoming null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
