package rest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// target is what an href or a PRN names. It need not exist.
type target struct {
	kind   string // a master, or one of the kinds
	view   *view  // of a master, or of a version's repository; nil for a version named by PRN
	id     uuid.UUID
	number int // of a version named by href, whose id is the repository's; else -1
}

// corePaths returns where the rows without a master are, by kind.
func corePath(kind string) string {
	switch kind {
	case artifactKind:
		return "artifacts/"
	case taskKind:
		return "tasks/"
	case taskGroupKind:
		return "task-groups/"
	case scheduleKind:
		return "task-schedules/"
	case workerKind:
		return "workers/"
	}
	return ""
}

// kinds lists what the word ref of a rest tag can be.
func kinds() []string {
	return []string{
		string(models.ContentMaster), string(models.RepositoryMaster), string(models.RemoteMaster),
		string(models.PublicationMaster), string(models.DistributionMaster), string(models.ContentGuardMaster),
		versionKind, artifactKind, taskKind, taskGroupKind, scheduleKind, workerKind,
	}
}

func (a *API) coreHref(kind string, id uuid.UUID) string {
	return a.base + corePath(kind) + id.String() + "/"
}

func (a *API) href(v *view, id uuid.UUID) string { return a.base + v.path + id.String() + "/" }

func (a *API) versionHref(v *view, repo uuid.UUID, number int) string {
	return a.href(v, repo) + "versions/" + strconv.Itoa(number) + "/"
}

// parseRef reads an href or a PRN, or returns false if it is neither, or names nothing that is served here.
func (a *API) parseRef(text string) (target, bool) {
	if strings.HasPrefix(text, "prn:") {
		return a.parsePRN(text)
	}
	return a.parseHref(text)
}

func (a *API) parsePRN(text string) (target, bool) {
	prn, err := models.ParsePRN(text)
	if err != nil {
		return target{}, false
	}
	t := target{id: prn.ID, number: -1}
	if prn.Plugin == "core" {
		switch prn.Model {
		case artifactKind, versionKind, taskKind, taskGroupKind, scheduleKind, workerKind:
			t.kind = prn.Model
			return t, true
		}
	}
	if t.view = a.byPRN[prn.Plugin+"."+prn.Model]; t.view == nil {
		return target{}, false
	}
	t.kind = string(t.view.master)
	return t, true
}

func (a *API) parseHref(text string) (target, bool) {
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		u, err := url.Parse(text)
		if err != nil {
			return target{}, false
		}
		text = u.Path
	}
	rest, ok := strings.CutPrefix(text, a.base)
	if !ok || !strings.HasSuffix(rest, "/") {
		return target{}, false
	}
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	if len(parts) == 2 {
		for _, kind := range []string{artifactKind, taskKind, taskGroupKind, scheduleKind, workerKind} {
			if corePath(kind) == parts[0]+"/" {
				id, ok := parseID(parts[1])
				return target{kind: kind, id: id, number: -1}, ok
			}
		}
		return target{}, false
	}
	if len(parts) != 4 && len(parts) != 6 {
		return target{}, false
	}
	v := a.byPath[strings.Join(parts[:3], "/")+"/"]
	id, ok := parseID(parts[3])
	if v == nil || !ok {
		return target{}, false
	}
	if len(parts) == 4 {
		return target{kind: string(v.master), view: v, id: id, number: -1}, true
	}
	number, ok := parseNumber(parts[5])
	if v.master != models.RepositoryMaster || parts[4] != "versions" || !ok {
		return target{}, false
	}
	return target{kind: versionKind, view: v, id: id, number: number}, true
}

// parseID reads a UUID in the one form that hrefs have.
func parseID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && len(text) == 36 && id.String() == strings.ToLower(text)
}

func parseNumber(text string) (int, bool) {
	n, err := strconv.ParseInt(text, 10, 32)
	return int(n), err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}

// resolve returns the key of the row that an href or a PRN names, which must be of a kind and exist in the domain.
// The reasons why not are for the client.
func (a *API) resolve(ctx context.Context, db *models.DB, kind, text string) (uuid.UUID, []string, error) {
	t, ok := a.parseRef(text)
	switch {
	case !ok:
		return uuid.Nil, []string{"Invalid hyperlink - No URL match."}, nil
	case t.kind != kind:
		return uuid.Nil, []string{"Invalid hyperlink - Incorrect URL match."}, nil
	}
	id, found, err := a.find(ctx, db, t)
	if err != nil {
		return uuid.Nil, nil, err
	}
	if !found {
		return uuid.Nil, []string{"Invalid hyperlink - Object does not exist."}, nil
	}
	return id, nil, nil
}

// find returns the key of the row that t names and whether it exists in the domain.
func (a *API) find(ctx context.Context, db *models.DB, t target) (uuid.UUID, bool, error) {
	if t.kind == versionKind {
		v, err := a.findVersion(ctx, db, t)
		if v == nil {
			return uuid.Nil, false, err
		}
		return v.ID, true, nil
	}
	q := db.Bun().NewSelect().ColumnExpr("1").Where("pulp_id = ?", t.id)
	switch {
	case t.view != nil:
		q = q.TableExpr(t.view.master.Table()).Where("pulp_type = ?", t.view.typ.Name())
	case t.kind == workerKind:
		q = q.TableExpr("core_worker")
	default:
		q = q.TableExpr("core_" + t.kind)
	}
	if t.kind != workerKind {
		q = q.Where("pulp_domain_id = ?", db.Domain().ID)
	}
	n := 0
	err := q.Scan(ctx, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return t.id, false, nil
	}
	if err != nil {
		return t.id, false, fmt.Errorf("rest: look up %s %s: %w", t.kind, t.id, err)
	}
	return t.id, true, nil
}

// findVersion returns a complete repository version of the domain, or nil if there is none.
func (a *API) findVersion(ctx context.Context, db *models.DB, t target) (*models.RepositoryVersion, error) {
	v := new(models.RepositoryVersion)
	q := db.Bun().NewSelect().Model(v).Join("JOIN core_repository AS r ON r.pulp_id = rv.repository_id").
		Where("r.pulp_domain_id = ?", db.Domain().ID).Where("rv.complete")
	if t.number >= 0 {
		q = q.Where("rv.repository_id = ?", t.id).Where("rv.number = ?", t.number).
			Where("r.pulp_type = ?", t.view.typ.Name())
	} else {
		q = q.Where("rv.pulp_id = ?", t.id)
	}
	err := q.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rest: look up repository version: %w", err)
	}
	return v, nil
}
