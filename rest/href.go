package rest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// target is what an href or a PRN names. It need not exist.
type target struct {
	kind   string // a master, or one of the kinds
	view   *view  // of a master, or of a version's repository; nil for a version named by PRN
	id     uuid.UUID
	bare   models.AnyType // of a PRN, if the type has no view
	number int            // of a version named by href, whose id is the repository's; else -1
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

// parseBarePRN reads the PRN of a type without a view, which stands in answers for an href.
func (a *API) parseBarePRN(text string) (target, bool) {
	prn, err := models.ParsePRN(text)
	if err != nil {
		return target{}, false
	}
	for t := range a.db.Registry().Types() {
		if models.TypedPRN(t.Master(), t.Name(), prn.ID) == text {
			return target{kind: string(t.Master()), bare: t, id: prn.ID, number: -1}, true
		}
	}
	return target{}, false
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
	if !ok {
		t, ok = a.parseBarePRN(text)
	}
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
	found, err := a.findAll(ctx, db, []target{t})
	id, ok := found[t]
	if !ok && t.kind != versionKind {
		id = t.id
	}
	return id, ok, err
}

// foundRows are the keys of rows that exist.
type foundRows map[target]uuid.UUID

// findAll returns the keys of those rows that exist in the domain. Each statement looks for up to lookupBatch of them.
func (a *API) findAll(ctx context.Context, db *models.DB, targets []target) (foundRows, error) {
	found := make(foundRows, len(targets))
	byTable := map[target][]target{} // by what one statement looks in
	for _, t := range targets {
		table := target{kind: t.kind, view: t.view, bare: t.bare, number: min(t.number, 0)}
		byTable[table] = append(byTable[table], t)
	}
	for table, group := range byTable {
		look, batch := a.findRows, lookupBatch
		if table.kind == versionKind && table.number == 0 {
			look, batch = a.findNumbers, lookupBatch/10
		}
		for chunk := range slices.Chunk(group, batch) {
			if err := look(ctx, db, table, chunk, found); err != nil {
				return nil, fmt.Errorf("rest: look up %s: %w", table.kind, err)
			}
		}
	}
	return found, nil
}

// findRows adds those rows of a table that exist to found.
func (a *API) findRows(ctx context.Context, db *models.DB, table target, targets []target, found foundRows) error {
	ids := make([]uuid.UUID, len(targets))
	for i, t := range targets {
		ids[i] = t.id
	}
	q := db.Bun().NewSelect().ColumnExpr("x.pulp_id").Where("x.pulp_id IN (?)", bun.List(ids))
	domain := "x.pulp_domain_id = ?"
	switch {
	case table.kind == versionKind:
		domain = "r.pulp_domain_id = ?"
		q = q.TableExpr("core_repositoryversion AS x").Where("x.complete").
			Join("JOIN core_repository AS r ON r.pulp_id = x.repository_id")
	case table.view != nil:
		q = q.TableExpr("? AS x", bun.Ident(table.view.master.Table())).Where("x.pulp_type = ?", table.view.typ.Name())
	case table.bare != nil:
		q = q.TableExpr("? AS x", bun.Ident(table.bare.Master().Table())).Where("x.pulp_type = ?", table.bare.Name())
	case table.kind == workerKind:
		domain = ""
		q = q.TableExpr("core_worker AS x")
	default:
		q = q.TableExpr("? AS x", bun.Ident("core_"+table.kind))
	}
	if domain != "" {
		q = q.Where(domain, db.Domain().ID)
	}
	var there []uuid.UUID
	if err := q.Scan(ctx, &there); err != nil {
		return err
	}
	exists := make(map[uuid.UUID]bool, len(there))
	for _, id := range there {
		exists[id] = true
	}
	for _, t := range targets {
		if exists[t.id] {
			found[t] = t.id
		}
	}
	return nil
}

// findNumbers adds those complete versions to found that hrefs name by repository and number.
func (a *API) findNumbers(ctx context.Context, db *models.DB, table target, targets []target, found foundRows) error {
	repos, numbers := make([]uuid.UUID, len(targets)), make([]int, len(targets))
	for i, t := range targets {
		repos[i], numbers[i] = t.id, t.number
	}
	var rows []versionPlace
	err := db.Bun().NewSelect().TableExpr("core_repositoryversion AS rv").
		ColumnExpr("rv.pulp_id, rv.number, rv.repository_id").
		Join("JOIN core_repository AS r ON r.pulp_id = rv.repository_id").Where("r.pulp_domain_id = ?", db.Domain().ID).
		Where("r.pulp_type = ?", table.view.typ.Name()).Where("rv.complete").
		Where("rv.repository_id IN (?)", bun.List(repos)).Where("rv.number IN (?)", bun.List(numbers)).Scan(ctx, &rows)
	if err != nil {
		return err
	}
	wanted := make(map[target]bool, len(targets))
	for _, t := range targets {
		wanted[t] = true
	}
	for _, row := range rows { // also those with the repository of one href and the number of another
		t := target{kind: versionKind, view: table.view, id: row.Repository, number: row.Number}
		if wanted[t] {
			found[t] = row.ID
		}
	}
	return nil
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
