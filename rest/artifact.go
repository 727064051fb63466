package rest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/core"
)

// artifactInput is what the body of an artifact has besides the file, all to be verified.
type artifactInput struct {
	Size   *int64  `json:"size" rest:"min=0" doc:"Size in bytes."`
	MD5    *string `json:"md5" rest:"blank" doc:"The md5 digest, to be verified."`
	SHA1   *string `json:"sha1" rest:"blank" doc:"The sha1 digest, to be verified."`
	SHA224 *string `json:"sha224" rest:"blank" doc:"The sha224 digest, to be verified."`
	SHA256 *string `json:"sha256" rest:"blank" doc:"The sha256 digest, to be verified."`
	SHA384 *string `json:"sha384" rest:"blank" doc:"The sha384 digest, to be verified."`
	SHA512 *string `json:"sha512" rest:"blank" doc:"The sha512 digest, to be verified."`
}

// createArtifact verifies size and digests of the uploaded file before the bytes get their place in the store. In the
// body the file may come before them.
func createArtifact(ctx context.Context, r *Request[models.Artifact], in *artifactInput) (*core.Artifact, error) {
	if r.upload == nil {
		return nil, FieldErrors{"file": {"No file was submitted."}}
	}
	expect, err := in.expect(r.DB.Checksums())
	if err != nil {
		return nil, err
	}
	if err := mismatch(expect.Check(r.upload.Digests(), r.upload.Size())); err != nil {
		return nil, err
	}
	sha256 := r.upload.Digests().SHA256
	exists := FieldErrors{NonField: {"Artifact with sha256 checksum of '" + sha256 + "' already exists."}}
	// Asked before the bytes are committed, which would be wasted work for a file that is there.
	n, err := r.DB.Bun().NewSelect().Model((*models.Artifact)(nil)).Where("sha256 = ?", sha256).
		Where("pulp_domain_id = ?", r.DB.Domain().ID).Count(ctx)
	if err != nil {
		return nil, fmt.Errorf("rest: look for the artifact: %w", err)
	}
	if n > 0 {
		return nil, exists
	}
	a, isNew, err := r.upload.save(ctx)
	if err != nil {
		return nil, err
	}
	// Another request has saved the same bytes after the look-up above.
	if !isNew {
		return nil, exists
	}
	out := core.ArtifactOf(r.DB, r.links, a)
	r.request.location = string(out.Href)
	return &out, nil
}

// expect returns size and digests that the file must have.
func (in *artifactInput) expect(allowed *hashlib.Checksums) (*hashlib.Expect, error) {
	expect := &hashlib.Expect{Size: in.Size}
	faults := FieldErrors{}
	for i, given := range []*string{in.MD5, in.SHA1, in.SHA224, in.SHA256, in.SHA384, in.SHA512} {
		alg := core.Algorithms()[i]
		switch {
		case given == nil || *given == "":
		case !allowed.Allowed(alg):
			faults.Add(NonField, "Checksum algorithms "+string(alg)+" are not allowed.")
		case len(*given) != alg.HexLen() || strings.Trim(strings.ToLower(*given), "0123456789abcdef") != "":
			faults.Add(string(alg), fmt.Sprintf("Ensure this field is a digest of %d hex characters.", alg.HexLen()))
		default:
			expect.Digests.Set(alg, *given)
		}
	}
	return expect, faults.OrNil()
}

// mismatch turns the error of a wrong size or digest into Pulp's words.
func mismatch(err error) error {
	if d, ok := errors.AsType[*hashlib.DigestMismatchError](err); ok {
		return FieldErrors{NonField: {"The " + string(d.Algorithm) + " checksum did not match."}}
	}
	if _, ok := errors.AsType[*hashlib.SizeMismatchError](err); ok {
		return FieldErrors{NonField: {"The size did not match."}}
	}
	return err
}
