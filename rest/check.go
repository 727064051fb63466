package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// check validates a row as a whole before it is saved, or a task is dispatched that saves it.
func (s *rowSchema) check(ctx context.Context, q *request, row models.Row, faults FieldErrors) error {
	if err := s.checkUnique(ctx, q, row, faults); err != nil {
		return err
	}
	if s.master.check != nil {
		if err := s.master.check(ctx, q, row, faults); err != nil {
			return err
		}
	}
	// A validator may rely on fields that are valid by themselves.
	if err := faults.OrNil(); err != nil {
		return err
	}
	if r, ok := row.(models.Validator); ok {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	if d, ok := row.(models.AnyDistribution); ok {
		return checkOverlap(ctx, q.db, d.AsDistribution())
	}
	return nil
}

// checkUnique notes which unique fields of a row another row of the domain has already. A request that is faster than
// this one shows only when the row is saved, see uniqueViolation.
func (s *rowSchema) checkUnique(ctx context.Context, q *request, row models.Row, faults FieldErrors) error {
	for _, f := range s.fields {
		if !f.Unique || faults[f.Name] != nil || row.PulpID() == uuid.Nil && f.IsZero(row) {
			continue
		}
		n, err := q.db.Bun().NewSelect().TableExpr("?", bun.Ident(s.master.Table)).
			Where("? = ?", bun.Ident(f.Column), f.Value(row)).
			Where("pulp_domain_id = ?", q.db.Domain().ID).Where("pulp_id <> ?", row.PulpID()).Count(ctx)
		if err != nil {
			return fmt.Errorf("rest: look for another %s: %w", f.Name, err)
		}
		if n > 0 {
			faults.Add(f.Name, wire.MsgUnique)
		}
	}
	return nil
}

// uniqueViolation turns the error of a unique column, which another request filled a moment ago, into one of the field.
func (s *rowSchema) uniqueViolation(err error) error {
	if !errors.Is(err, pulperr.Exists) {
		return err
	}
	for _, f := range s.fields {
		if f.Unique {
			return FieldErrors{f.Name: {wire.MsgUnique}}
		}
	}
	return FieldErrors{NonField: {fmt.Sprintf("The %s exists already.", s.master.Name)}}
}

// checkRemote finds the faults that each download from the remote would fail with, and puts its certificates into the
// form in which they are kept.
func checkRemote(_ context.Context, q *request, row models.Row, faults FieldErrors) error {
	r := as[models.AnyRemote](row).AsRemote()
	config := r.DownloadConfig(q.db.Checksums(), nil)
	if config.ProxyURL == "" && (r.ProxyUsername.IsSet() || r.ProxyPassword.IsSet()) {
		faults.Add(NonField, "proxy credentials cannot be specified without a proxy")
		// Without this the configuration would report the same fault in other words.
		config.ProxyUsername, config.ProxyPassword = "", ""
	}
	found := wire.ValidationFaults(config.Validate())
	if r.URL != "" {
		if reason := urlFault(r.URL, q.opts.AllowedImportPaths); reason != "" {
			found.Add("url", reason)
		}
	}
	// A field that decoding has refused has an old value or none in the row. A second fault would be about that value.
	for name, reasons := range found {
		if faults[name] == nil {
			faults.Add(name, reasons...)
		}
	}
	for _, certs := range []**string{&r.CACert, &r.ClientCert} {
		if *certs != nil && len(found) == 0 {
			*certs = new(download.Certificates(**certs)) // the row before an update points to the old text
		}
	}
	return nil
}

// urlFault returns the reason why the URL of a remote is refused, or "".
func urlFault(raw string, allowed []string) string {
	// Answers show the url of a remote. Its fields username and password are secrets.
	if u, err := url.Parse(raw); err == nil && u.User != nil {
		return "The remote url contains username or password. Use the username and password fields."
	}
	if fault, ok := errors.AsType[*pulperr.ValidationError](download.CheckURL(raw, allowed)); ok {
		return fault.Reason
	}
	return ""
}

// checkDistribution finds a base path that clients cannot use, and sources that exclude each other.
func checkDistribution(_ context.Context, _ *request, row models.Row, faults FieldErrors) error {
	d := as[models.AnyDistribution](row).AsDistribution()
	if d.BasePath != "" && faults["base_path"] == nil && !validBasePath(d.BasePath) {
		faults.Add("base_path", "Relative path is not in canonical form. "+d.BasePath)
	}
	sources := 0
	for _, set := range []bool{d.PublicationID != nil, d.RepositoryID != nil, d.RepositoryVersionID != nil} {
		if set {
			sources++
		}
	}
	if sources > 1 {
		faults.Add(NonField,
			"Only one of the attributes 'repository', 'repository_version' and 'publication' may be used simultaneously.")
	}
	return nil
}

// combiner is a content guard that asks others.
type combiner interface {
	models.AnyContentGuard
	Combined() []uuid.UUID // the others
}

// maxCombined is how many guards are read to find a cycle. A request for content fails with more of them anyway.
const maxCombined = 200

// checkGuard finds a guard that would ask itself by way of others. Two updates at a time can still make a cycle, so the
// content app refuses the requests that meet one.
func checkGuard(ctx context.Context, q *request, row models.Row, faults FieldErrors) error {
	g, ok := row.(combiner)
	if !ok || row.PulpID() == uuid.Nil {
		return nil // no other guard can refer to a new one
	}
	pending, seen := g.Combined(), map[uuid.UUID]bool{}
	for len(pending) > 0 && len(seen) < maxCombined {
		id := pending[0]
		pending = pending[1:]
		if id == row.PulpID() {
			faults.Add("guards", "The guard would ask itself by way of its guards.")
			return nil
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		next, err := models.Cast(ctx, q.db, models.ContentGuardMaster, id)
		if errors.Is(err, pulperr.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if c, ok := next.(combiner); ok {
			pending = append(pending, c.Combined()...)
		}
	}
	return nil
}

// validBasePath reports whether clients can use a base path as it is: characters that end a path are refused.
func validBasePath(p string) bool {
	return models.ValidPath(p) && !strings.ContainsFunc(p, func(r rune) bool {
		return unicode.IsSpace(r) || r == '?' || r == '#'
	})
}

// checkOverlap refuses a base path above or below that of another distribution.
func checkOverlap(ctx context.Context, db *models.DB, d *models.Distribution) error {
	name, err := models.OverlappingDistribution(ctx, db, d)
	if err != nil || name == "" {
		return err
	}
	text := fmt.Sprintf("Overlaps with existing distribution '%s'", name)
	// Pulp nests this reason below the name of the field twice.
	return &wire.Problem{
		Status: http.StatusBadRequest, Body: map[string]any{"base_path": map[string]string{"base_path": text}},
	}
}
