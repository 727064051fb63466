package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// checker is what the checks of rows need.
type checker struct {
	db          *models.DB
	importPaths []string // folders that file:// URLs of remotes may point into
}

func checkerOf(q *request) checker { return checker{q.db, q.opts.AllowedImportPaths} }

// check validates a row as a whole before it is saved, or a task is dispatched that saves it.
func (s *rowSchema) check(ctx context.Context, c checker, row models.Row, faults FieldErrors) error {
	if err := s.checkFields(ctx, c, row, faults); err != nil {
		return err
	}
	return c.validate(ctx, row)
}

// checkFields checks what needs no validator of the plugin, and returns all faults.
func (s *rowSchema) checkFields(ctx context.Context, c checker, row models.Row, faults FieldErrors) error {
	if err := s.checkUnique(ctx, c, row, faults); err != nil {
		return err
	}
	if s.master.check != nil {
		if err := s.master.check(ctx, c, row, faults); err != nil {
			return err
		}
	}
	return faults.OrNil()
}

// validate calls the validators of a row. They may rely on fields that are valid by themselves.
func (c checker) validate(ctx context.Context, row models.Row) error {
	// Saving the row checks this, too. A task may save it, and then the client would not get the error as its answer.
	if err := c.db.Registry().CheckTexts(row); err != nil {
		return err
	}
	if r, ok := row.(models.Validator); ok {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	if r, ok := row.(ContextValidator); ok {
		if err := r.ValidateIn(ctx, c.db); err != nil {
			return err
		}
	}
	if d, ok := row.(models.AnyDistribution); ok {
		return checkOverlap(ctx, c.db, d.AsDistribution())
	}
	return nil
}

// checkUnique notes which unique fields of a row another row of the domain has already. A request that is faster than
// this one shows only when the row is saved, see uniqueViolation.
func (s *rowSchema) checkUnique(ctx context.Context, c checker, row models.Row, faults FieldErrors) error {
	for _, f := range s.fields {
		if !f.Unique || faults[f.Name] != nil || row.PulpID() == uuid.Nil && f.IsZero(row) {
			continue
		}
		n, err := c.db.Bun().NewSelect().TableExpr("?", bun.Ident(s.master.Table)).
			Where("? = ?", bun.Ident(f.Column), f.Value(row)).
			Where("pulp_domain_id = ?", c.db.Domain().ID).Where("pulp_id <> ?", row.PulpID()).Count(ctx)
		if err != nil {
			return fmt.Errorf("rest: look for another %s: %w", f.Name, err)
		}
		if n > 0 {
			faults.Add(f.Name, wire.MsgUnique)
		}
	}
	return nil
}

// uniqueViolation turns the error of a unique key, which another request took a moment ago, into one of the field.
func (s *rowSchema) uniqueViolation(ctx context.Context, c checker, row models.Row, err error) error {
	if !errors.Is(err, pulperr.Exists) {
		return err
	}
	// The databases name the constraint in different ways, and a plugin's table may have more unique keys than its fields
	// tell. Looking for the other row again shows which field it is.
	faults := FieldErrors{}
	if err := s.checkUnique(ctx, c, row, faults); err != nil {
		return err
	}
	if len(faults) == 0 {
		// The row that was in the way is gone again, or the key is one of the plugin's.
		faults.Add(NonField, fmt.Sprintf("The %s exists already.", s.master.Name))
	}
	return faults
}

// checkRemote finds the faults that each download from the remote would fail with, and puts its certificates into the
// form in which they are kept.
func checkRemote(_ context.Context, c checker, row models.Row, faults FieldErrors) error {
	r := as[models.AnyRemote](row).AsRemote()
	config := r.DownloadConfig(c.db.Checksums(), nil)
	if config.ProxyURL == "" && (r.ProxyUsername.IsSet() || r.ProxyPassword.IsSet()) {
		faults.Add(NonField, "proxy credentials cannot be specified without a proxy")
		// Without this the configuration would report the same fault in other words.
		config.ProxyUsername, config.ProxyPassword = "", ""
	}
	found := wire.ValidationFaults(config.Validate())
	if r.URL != "" {
		if reason := urlFault(r.URL, c.importPaths); reason != "" {
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

// checkDistribution finds a base path that clients cannot use, sources that exclude each other, and a remote of another
// plugin.
func checkDistribution(ctx context.Context, c checker, row models.Row, faults FieldErrors) error {
	d := as[models.AnyDistribution](row).AsDistribution()
	if err := checkPull(ctx, c, row, faults); err != nil {
		return err
	}
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

// checkPull finds a remote of a type that the distribution cannot pull from.
func checkPull(ctx context.Context, c checker, row models.Row, faults FieldErrors) error {
	id, t := as[models.AnyDistribution](row).AsDistribution().RemoteID, typeOf(c.db.Registry(), row)
	if id == nil || t == nil || faults["remote"] != nil {
		return nil
	}
	remote, err := models.Cast(ctx, c.db, models.RemoteMaster, *id)
	if err != nil {
		return fmt.Errorf("rest: remote of a distribution: %w", err)
	}
	if !slices.Contains(c.db.Registry().PullsFrom(t), remote.PulpType()) {
		faults.Add("remote", fmt.Sprintf("Type for Remote '%s' does not match Distribution '%s'.", remote.PulpType(),
			t.Name()))
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
func checkGuard(ctx context.Context, c checker, row models.Row, faults FieldErrors) error {
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
		next, err := models.Cast(ctx, c.db, models.ContentGuardMaster, id)
		if errors.Is(err, pulperr.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if other, ok := next.(combiner); ok {
			pending = append(pending, other.Combined()...)
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
