package rest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
)

const artifactModel = "Artifact"

// upload is the file of a request on its way into the store.
type upload struct {
	writer *storage.Writer // nil until there is a file
}

// abort drops a file that was not committed.
func (up *upload) abort() {
	if up.writer != nil {
		_ = up.writer.Abort() // what stays behind is swept
	}
}

// artifactFields are what a request for an artifact may say besides the file.
func artifactFields() []*field {
	list := []*field{{name: "size", form: intForm, own: true, goType: int64Type(), min: new(0.0), doc: "Size in bytes."}}
	for _, alg := range digestOrder() {
		list = append(list, &field{
			name: string(alg), form: textForm, nullable: true, doc: "The " + string(alg) + " digest, to be verified.",
		})
	}
	return list
}

func (a *API) artifactParams() []*param {
	list := identityParams("a.pulp_id")
	list = append(list, a.hrefsParam("a.pulp_id"), a.prnsParam("a.pulp_id"))
	for _, alg := range digestOrder() {
		list = append(list, Exact.params(string(alg), "a."+string(alg))...)
	}
	return append(list, &param{
		name: "repository_version", doc: "href or PRN of a repository version", form: textFilter, needed: true,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			v, err := a.versionOf(ctx, c, raw)
			if err != nil {
				return nil, err
			}
			return []cond{{`a.pulp_id IN (SELECT ca.artifact_id FROM core_contentartifact AS ca
				JOIN core_repositorycontent AS rc ON rc.content_id = ca.content_id
				WHERE rc.repository_id = ?0 AND rc.version_added <= ?1
				AND (rc.version_removed IS NULL OR rc.version_removed > ?1))`, []any{v.RepositoryID, v.Number}}}, nil
		},
	})
}

func artifactColumns() []string {
	return []string{
		"pulp_id", "pulp_created", "pulp_last_updated", "size", "md5", "sha1", "sha224", "sha256", "sha384",
		"sha512",
	}
}

func (a *API) addArtifacts() {
	params := a.artifactParams()
	o := operation{tag: "Artifacts", path: "artifacts/", answer: "ArtifactResponse"}
	a.add(o.with("GET", "artifacts_list", "List artifacts", func(ctx context.Context, c *call) error {
		return c.listArtifacts(ctx, params)
	}).lists(params, artifactColumns()))
	a.add(o.with("POST", "artifacts_create", "Create an artifact", createArtifact).
		takesFile("Artifact").answers(http.StatusCreated))
	o.path, o.entity = "artifacts/{pulp_id}/", "artifact_href"
	a.add(o.with("GET", "artifacts_read", "Inspect an artifact", func(ctx context.Context, c *call) error {
		id, err := c.id(artifactModel)
		if err != nil {
			return err
		}
		row, err := c.artifact(ctx, id)
		if err != nil {
			return err
		}
		return c.answerObject(http.StatusOK, c.api.artifactObject(c.db, row))
	}).sparse())
	a.add(o.with("DELETE", "artifacts_delete", "Artifacts cannot be deleted", func(context.Context, *call) error {
		return refuse(http.StatusForbidden, msgForbidden) // content may need it; Pulp's policy forbids it to everybody, too
	}).answers(http.StatusForbidden))
}

func (c *call) artifact(ctx context.Context, id uuid.UUID) (*models.Artifact, error) {
	row := new(models.Artifact)
	err := c.db.Bun().NewSelect().Model(row).Where("pulp_id = ?", id).Where("pulp_domain_id = ?", c.db.Domain().ID).
		Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(artifactModel)
	}
	if err != nil {
		return nil, fmt.Errorf("rest: read artifact: %w", err)
	}
	return row, nil
}

func (c *call) listArtifacts(ctx context.Context, params []*param) error {
	q, err := c.readList(ctx, params, artifactColumns())
	if err != nil {
		return err
	}
	narrow := func(sel *bun.SelectQuery) *bun.SelectQuery {
		return q.apply(sel.Where("a.pulp_domain_id = ?", c.db.Domain().ID))
	}
	count, err := narrow(c.db.Bun().NewSelect().Model((*models.Artifact)(nil))).Count(ctx)
	if err != nil {
		return fmt.Errorf("rest: count artifacts: %w", err)
	}
	var rows []*models.Artifact
	sel := q.window(narrow(c.db.Bun().NewSelect().Model(&rows)), "a", newestFirst)
	if err := sel.Scan(ctx); err != nil {
		return fmt.Errorf("rest: list artifacts: %w", err)
	}
	results := make([]object, len(rows))
	for i, row := range rows {
		results[i] = c.api.artifactObject(c.db, row)
	}
	return c.answerPage(q, count, results)
}

func (a *API) artifactObject(db *models.DB, row *models.Artifact) object {
	o := object{
		{"pulp_href", a.coreHref(artifactKind, row.ID)},
		{"prn", models.CorePRN(artifactKind, row.ID)},
		{"pulp_created", row.Created},
		{"pulp_last_updated", row.Updated},
		{"file", row.Key()},
		{"size", row.Size},
	}
	addDigests(&o, db.Checksums().Filter(row.Digests))
	return o
}

// createArtifact streams a file into the store and verifies what the request said about it, wherever in the body it
// said so, before the bytes get their place.
func createArtifact(ctx context.Context, c *call) error {
	up := &upload{}
	defer up.abort()
	b, err := readBody(c.w, c.r, up.take(ctx, c))
	if err != nil {
		return err
	}
	faults := FieldErrors{}
	fields := artifactFields()
	b.expect(faults, fields)
	if up.writer == nil {
		faults.add("file", "No file was submitted.")
	}
	expect := c.readExpect(b, fields, faults)
	if err := faults.orNil(); err != nil {
		return err
	}
	if err := expectFault(expect.Check(up.writer.Digests(), up.writer.Size())); err != nil {
		return err
	}
	row, err := c.saveNewArtifact(ctx, up)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.api.coreHref(artifactKind, row.ID))
	return c.answerObject(http.StatusCreated, c.api.artifactObject(c.db, row))
}

// readExpect returns what a request says about its file.
func (c *call) readExpect(b body, fields []*field, faults FieldErrors) *hashlib.Expect {
	expect := &hashlib.Expect{}
	for _, f := range fields {
		raw, ok := b[f.name]
		if !ok || raw == nil || raw == "" {
			continue
		}
		value, reasons := f.parse(raw)
		if reasons != nil {
			faults.add(f.name, reasons...)
			continue
		}
		switch v := value.(type) {
		case int64:
			expect.Size = &v
		case string:
			alg := hashlib.Algorithm(f.name)
			if !c.db.Checksums().Allowed(alg) {
				faults.add(NonField, "Checksum algorithms "+string(alg)+" are not allowed.")
				continue
			}
			if len(v) != alg.HexLen() || strings.Trim(strings.ToLower(v), "0123456789abcdef") != "" {
				faults.add(f.name, fmt.Sprintf("Ensure this field is a digest of %d hex characters.", alg.HexLen()))
				continue
			}
			expect.Digests.Set(alg, v)
		}
	}
	return expect
}

// expectFault gives a mismatch Pulp's words.
func expectFault(err error) error {
	if d, ok := errors.AsType[*hashlib.DigestMismatchError](err); ok {
		return FieldErrors{NonField: {"The " + string(d.Algorithm) + " checksum did not match."}}
	}
	if _, ok := errors.AsType[*hashlib.SizeMismatchError](err); ok {
		return FieldErrors{NonField: {"The size did not match."}}
	}
	return err
}

func (c *call) saveNewArtifact(ctx context.Context, up *upload) (*models.Artifact, error) {
	sha256 := up.writer.Digests().SHA256
	exists := FieldErrors{NonField: {"Artifact with sha256 checksum of '" + sha256 + "' already exists."}}
	n, err := c.db.Bun().NewSelect().Model((*models.Artifact)(nil)).Where("sha256 = ?", sha256).
		Where("pulp_domain_id = ?", c.db.Domain().ID).Count(ctx)
	if err != nil {
		return nil, fmt.Errorf("rest: look for the artifact: %w", err)
	}
	if n > 0 {
		return nil, exists
	}
	obj, err := up.writer.Commit()
	if err != nil {
		return nil, err
	}
	row := &models.Artifact{Size: obj.Size, Digests: obj.Digests}
	row.ID = models.NewID()
	mine := row.ID
	if err := models.SaveArtifacts(ctx, c.db, c.api.store, []*models.Artifact{row}); err != nil {
		return nil, err
	}
	if row.ID != mine { // another request was faster
		return nil, exists
	}
	return row, nil
}
