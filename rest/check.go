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

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// checkRow validates a row as a whole before it is saved or a task is dispatched that will.
func (c *call) checkRow(ctx context.Context, v *view, row models.Row, faults FieldErrors) error {
	if err := c.checkUnique(ctx, v, row, faults); err != nil {
		return err
	}
	switch r := row.(type) {
	case models.AnyRemote:
		c.checkRemote(r.AsRemote(), faults)
	case models.AnyDistribution:
		checkDistribution(r.AsDistribution(), faults)
	}
	if err := faults.orNil(); err != nil {
		return err
	}
	if r, ok := row.(models.Validator); ok {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	if d, ok := row.(models.AnyDistribution); ok {
		return checkOverlap(ctx, c.db, d.AsDistribution())
	}
	return nil
}

// checkRemote finds the faults that each download from the remote would fail with, and puts its certificates into the
// form in which they are kept.
func (c *call) checkRemote(r *models.Remote, faults FieldErrors) {
	config := r.DownloadConfig(c.db.Checksums(), nil)
	if config.ProxyURL == "" && (r.ProxyUsername.IsSet() || r.ProxyPassword.IsSet()) {
		faults.add(NonField, "proxy credentials cannot be specified without a proxy")
		config.ProxyUsername, config.ProxyPassword = "", ""
	}
	found := validationFaults(config.Validate())
	if r.URL != "" {
		if reason := c.api.urlFault(r.URL); reason != "" {
			found.add("url", reason)
		}
	}
	for name, reasons := range found {
		if faults[name] == nil {
			faults.add(name, reasons...)
		}
	}
	for _, certs := range []*string{r.CACert, r.ClientCert} {
		if certs != nil && len(found) == 0 {
			*certs = download.Certificates(*certs)
		}
	}
}

// urlFault returns what is wrong with the URL of a remote, or nothing.
func (a *API) urlFault(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.User != nil {
		return "The remote url contains username or password. Use the username and password fields."
	}
	if fault, ok := errors.AsType[*pulperr.ValidationError](download.CheckURL(raw, a.opts.AllowedImportPaths)); ok {
		return fault.Reason
	}
	return ""
}

func checkDistribution(d *models.Distribution, faults FieldErrors) {
	if d.BasePath != "" && faults["base_path"] == nil && !validBasePath(d.BasePath) {
		faults.add("base_path", "Relative path is not in canonical form. "+d.BasePath)
	}
	sources := 0
	for _, set := range []bool{d.PublicationID != nil, d.RepositoryID != nil, d.RepositoryVersionID != nil} {
		if set {
			sources++
		}
	}
	if sources > 1 {
		faults.add(NonField,
			"Only one of the attributes 'repository', 'repository_version' and 'publication' may be used simultaneously.")
	}
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
	return &problem{http.StatusBadRequest, map[string]any{"base_path": map[string]string{"base_path": text}}}
}

// taken turns the error of a unique column, which another request filled a moment ago, into the field's words.
func taken(v *view, err error) error {
	if !errors.Is(err, pulperr.Exists) {
		return err
	}
	faults := FieldErrors{}
	for _, f := range v.shape.fields {
		if f.unique {
			faults.add(f.name, msgUnique)
			break
		}
	}
	if len(faults) == 0 {
		faults.add(NonField, fmt.Sprintf("The %s exists already.", v.master))
	}
	return faults
}

// changedFields returns the fields in which two rows of a view differ.
func (v *view) changedFields(before, after models.Row) []*field {
	return slices.DeleteFunc(slices.Clone(v.shape.fields), func(f *field) bool { return f.equal(before, after) })
}
