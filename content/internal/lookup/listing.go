package lookup

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// Listing is one page of what a folder holds, in the order of the bytes of the names.
type Listing struct {
	Entries []Entry
	After   string // where the next page begins; empty if this is the last
}

// Entry is a file or a folder.
type Entry struct {
	Name  string    // without its parent folders; a folder's ends with a slash
	Size  *int64    // bytes; nil for a folder and for a file of unknown size
	Added time.Time // when it came to the repository; zero for a folder

	contentArtifactID uuid.UUID
}

// pathRow is a row of a sorted walk over paths.
type pathRow struct {
	Path string    `bun:"path"`
	ID   uuid.UUID `bun:"id"`
}

// cursor is a place in the sorted paths below a folder.
type cursor struct {
	from      string
	inclusive bool
	end       string // exclusive; empty is no end
}

// where limits a query to what follows the cursor.
func (c cursor) where(q *bun.SelectQuery, column string, order bun.Safe) *bun.SelectQuery {
	if c.inclusive {
		q = q.Where("?? >= ?", bun.Safe(column), order, c.from)
	} else {
		q = q.Where("?? > ?", bun.Safe(column), order, c.from)
	}
	if c.end != "" {
		q = q.Where("?? < ?", bun.Safe(column), order, c.end)
	}
	return q
}

// minListBatch is the least number of paths that are read at a time.
const minListBatch = 16

// listLevel makes a page of what lies directly below a folder out of a walk over all paths below it. It passes over
// the inside of each subfolder, so its cost depends on the page and not on what the folder holds. batch is the most
// paths to read at a time.
func listLevel(folder, after string, limit, batch int, read func(c cursor, n int) ([]pathRow, error),
) (*Listing, error) {
	c := within(folder)
	if after != "" {
		c.from = folder + after
		if strings.HasSuffix(after, "/") {
			c.from, c.inclusive = pastFolder(c.from), true
		}
	}
	page := &Listing{}
	for n := batch; ; {
		rows, err := read(c, n)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			e := entryOf(row, folder)
			if last := len(page.Entries) - 1; last >= 0 && page.Entries[last].Name == e.Name {
				continue // more of the same folder, or a published file that passes through as well
			}
			if len(page.Entries) == limit {
				page.After = page.Entries[limit-1].Name
				return page, nil
			}
			page.Entries = append(page.Entries, e)
			// The next batch begins behind this entry, so behind everything in it if it is a folder.
			c.from, c.inclusive = row.Path, false
			if strings.HasSuffix(e.Name, "/") {
				c.from, c.inclusive = pastFolder(folder+e.Name), true
			}
		}
		if len(rows) < n {
			return page, nil
		}
		// A batch that ends within a subfolder was too large: the rest of that subfolder is passed over.
		if c.inclusive && rows[len(rows)-1].Path < c.from {
			n = max(n/4, minListBatch)
		} else {
			n = min(n*2, batch)
		}
	}
}

// within returns the cursor at the beginning of a folder, which is empty or ends with a slash.
func within(folder string) cursor {
	if folder == "" {
		return cursor{}
	}
	return cursor{from: folder, end: pastFolder(folder)}
}

func entryOf(row pathRow, folder string) Entry {
	name := row.Path[len(folder):]
	if i := strings.IndexByte(name, '/'); i >= 0 {
		return Entry{Name: name[:i+1]}
	}
	return Entry{Name: name, contentArtifactID: row.ID}
}

// pastFolder returns the least text that is greater than everything that begins with folder, which ends with a slash.
func pastFolder(folder string) string { return folder[:len(folder)-1] + "0" }

// HasFolder reports whether the source has a file below a folder, which has no slash at the end and is not empty.
func (s *Source) HasFolder(ctx context.Context, db *models.DB, dir string) (bool, error) {
	c := within(dir + "/")
	plan, err := s.plan(ctx, db, c)
	if err != nil {
		return false, err
	}
	rows, err := s.walk(ctx, db, plan, c, 1)
	return len(rows) > 0, err
}

// List returns a page of the files and folders directly in a folder of the source: at most limit entries, which begin
// behind the After of the previous page. The empty folder is the root. A folder that does not exist is empty.
func (s *Source) List(ctx context.Context, db *models.DB, dir, after string, limit int) (*Listing, error) {
	folder := folderOf(dir)
	plan, err := s.plan(ctx, db, within(folder))
	if err != nil {
		return nil, err
	}
	page, err := listLevel(folder, after, limit, plan.batch, func(c cursor, n int) ([]pathRow, error) {
		return s.walk(ctx, db, plan, c, n)
	})
	if err != nil {
		return nil, err
	}
	return page, s.describe(ctx, db, page.Entries)
}

// walkPlan is how the paths of a version are walked: along the sorted paths of all content, looking up the membership
// of each, or along the members, sorting their paths.
type walkPlan struct {
	byPath bool
	batch  int // paths to read at a time
}

const (
	fewPaths   = 2000   // so many in a folder are all looked at
	fewMembers = 20_000 // so many members are all sorted
)

// plan chooses the cheaper walk. SQLite has no statistics to choose by.
func (s *Source) plan(ctx context.Context, db *models.DB, c cursor) (walkPlan, error) {
	if s.PublicationID != nil && !s.PassThrough {
		return walkPlan{batch: 256}, nil
	}
	order := db.Conn().Kind.ByteOrder()
	var paths, members int64
	// The count stops behind the limit, because a folder may have millions of paths.
	q := db.Bun().NewSelect().TableExpr("core_contentartifact AS ca").ColumnExpr("1 AS one").Limit(fewPaths + 1)
	err := db.Bun().NewSelect().TableExpr("(?) AS x", c.where(q, "ca.relative_path", order)).ColumnExpr("COUNT(*)").
		Scan(ctx, &paths)
	if err != nil || paths <= fewPaths {
		return walkPlan{byPath: true, batch: fewPaths + 1}, rowError(err, "paths below", c.from)
	}
	err = db.Bun().NewSelect().TableExpr("core_repositoryversioncount").ColumnExpr("COALESCE(SUM(present), 0)").
		Where("version_id = ?", s.VersionID).Scan(ctx, &members)
	if err != nil || members <= fewMembers {
		return walkPlan{batch: fewMembers + 1}, rowError(err, "count of version", s.VersionID.String())
	}
	return walkPlan{byPath: true, batch: 256}, nil
}

// walk reads the next n paths of the source.
func (s *Source) walk(ctx context.Context, db *models.DB, plan walkPlan, c cursor, n int) ([]pathRow, error) {
	order := db.Conn().Kind.ByteOrder()
	join := "JOIN core_repositorycontent AS rc ON rc.content_id = ca.content_id"
	if plan.byPath {
		join = "CROSS JOIN core_repositorycontent AS rc" // SQLite does not turn it around
	}
	version := func() *bun.SelectQuery {
		q := db.Bun().NewSelect().TableExpr("core_contentartifact AS ca").
			ColumnExpr("ca.relative_path AS path, ca.pulp_id AS id").Join(join).
			Where("rc.content_id = ca.content_id").Where("rc.repository_id = ?", s.RepositoryID).
			Where("rc.version_added <= ?", s.Number).
			Where("(rc.version_removed IS NULL OR rc.version_removed > ?)", s.Number)
		return c.where(q, "ca.relative_path", order).OrderExpr("ca.relative_path?", order).Limit(int64(n))
	}
	published := func() *bun.SelectQuery {
		q := db.Bun().NewSelect().TableExpr("core_publishedartifact AS pa").
			ColumnExpr("pa.relative_path AS path, pa.content_artifact_id AS id").
			Where("pa.publication_id = ?", s.PublicationID)
		return c.where(q, "pa.relative_path", order).OrderExpr("pa.relative_path?", order).Limit(int64(n))
	}
	var q *bun.SelectQuery
	switch {
	case s.PublicationID == nil:
		q = version()
	case s.PassThrough:
		// A published file replaces one of the version with the same path: listLevel keeps the first row of a name.
		q = db.Bun().NewSelect().ColumnExpr("path, id").OrderExpr("path?, precedence", order).Limit(int64(n)).
			TableExpr("(SELECT *, 0 AS precedence FROM (?) AS x UNION ALL SELECT *, 1 FROM (?) AS y) AS s",
				published(), version())
	default:
		q = published()
	}
	var rows []pathRow
	err := q.Scan(ctx, &rows)
	return rows, rowError(err, "paths below", c.from)
}

// describe fills in the sizes and dates of the files among the entries.
func (s *Source) describe(ctx context.Context, db *models.DB, entries []Entry) error {
	at := make(map[uuid.UUID][]*Entry, len(entries))
	var ids []uuid.UUID
	for i := range entries {
		if id := entries[i].contentArtifactID; id != uuid.Nil {
			at[id] = append(at[id], &entries[i])
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return nil
	}
	var rows []struct {
		ID      uuid.UUID  `bun:"pulp_id"`
		Size    *int64     `bun:"size"`
		Created time.Time  `bun:"pulp_created"`
		Added   *time.Time `bun:"added"`
	}
	err := db.Bun().NewRaw(`SELECT ca.pulp_id, ca.pulp_created, v.pulp_created AS added, COALESCE(a.size,
  (SELECT MIN(ra.size) FROM core_remoteartifact AS ra JOIN core_remote AS m ON m.pulp_id = ra.remote_id
  WHERE ra.content_artifact_id = ca.pulp_id)) AS size
FROM core_contentartifact AS ca LEFT JOIN core_artifact AS a ON a.pulp_id = ca.artifact_id
LEFT JOIN core_repositorycontent AS rc ON rc.repository_id = ?0 AND rc.content_id = ca.content_id
  AND rc.version_added <= ?1 AND (rc.version_removed IS NULL OR rc.version_removed > ?1)
LEFT JOIN core_repositoryversion AS v ON v.repository_id = rc.repository_id AND v.number = rc.version_added
WHERE ca.pulp_id IN (?2)`, s.RepositoryID, s.Number, bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return rowError(err, "listing of version", s.VersionID.String())
	}
	for _, row := range rows {
		added := row.Created
		if row.Added != nil {
			added = *row.Added
		}
		for _, e := range at[row.ID] {
			e.Size, e.Added = row.Size, added.UTC()
		}
	}
	return nil
}
