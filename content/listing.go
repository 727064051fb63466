package content

import (
	"bytes"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
)

// nameColumn is how wide names are in a listing.
const nameColumn = 100

// listings answer with the names in folders, page by page.
type listings struct {
	db          *models.DB
	prefix      string
	hideGuarded bool // leave distributions with a content guard out
	pageSize    int  // names
}

// distributions lists what follows rel, which is empty or ends with a slash, in the base paths.
func (l *listings) distributions(w http.ResponseWriter, r *http.Request, rel string) error {
	after, limit, err := l.page(r)
	if err != nil {
		return err
	}
	page, err := lookup.DistributionsBelow(r.Context(), l.db, rel, after, limit, l.hideGuarded)
	if err != nil {
		return err
	}
	// A page behind the last name is empty although the folder exists.
	if rel != "" && len(page.Entries) == 0 && after == "" {
		return errNotFound
	}
	title := rel
	if rel == "" {
		title = l.prefix
	}
	for i, e := range page.Entries {
		page.Entries[i].Name = strings.TrimSuffix(e.Name, "/") + "/"
	}
	writeListing(w, title, rel != "", page, limit)
	return nil
}

// folder lists the folder at the request's path of what a distribution serves.
func (l *listings) folder(w http.ResponseWriter, req *Request, s *lookup.Source) error {
	r, dir := req.HTTP, req.Path
	after, limit, err := l.page(r)
	if err != nil {
		return err
	}
	page, err := s.List(r.Context(), l.db, dir, after, limit)
	if err != nil {
		return err
	}
	if lister, ok := req.Distribution.(Lister); ok {
		names, err := lister.ListDirectory(r.Context(), req)
		if err != nil {
			return err
		}
		merge(page, names, after)
	}
	// As in distributions: a page behind the last name does not mean that the folder is missing.
	if dir != "" && len(page.Entries) == 0 && after == "" {
		return errNotFound
	}
	writeListing(w, r.URL.Path, true, page, limit)
	return nil
}

// page returns which part of a listing the client wants.
func (l *listings) page(r *http.Request) (after string, limit int, err error) {
	limit = l.pageSize
	if r.URL.RawQuery == "" {
		return "", limit, nil
	}
	q := r.URL.Query()
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return "", 0, errBadPage
		}
		limit = min(limit, n)
	}
	after = q.Get("after")
	// A cursor is one name of this folder. With a slash inside it the page would begin in another folder.
	if name := strings.TrimSuffix(after, "/"); after != "" && (!models.ValidPath(name) || strings.Contains(name, "/")) {
		return "", 0, errBadPage
	}
	return after, limit, nil
}

// merge adds the names of a plugin that belong on a page.
func merge(page *lookup.Listing, names []string, after string) {
	for _, name := range names {
		if name > after && (page.After == "" || name <= page.After) {
			page.Entries = append(page.Entries, lookup.Entry{Name: name})
		}
	}
	// A stable sort keeps the repository's entry, which has size and date, before one of the plugin with the same name.
	slices.SortStableFunc(page.Entries, func(x, y lookup.Entry) int { return strings.Compare(x.Name, y.Name) })
	page.Entries = slices.CompactFunc(page.Entries, func(x, y lookup.Entry) bool { return x.Name == y.Name })
}

func writeListing(w http.ResponseWriter, title string, parent bool, page *lookup.Listing, limit int) {
	var b bytes.Buffer
	title = html.EscapeString(title)
	b.WriteString("<html>\n<head><title>Index of " + title + "</title></head>\n<body bgcolor=\"white\">\n<h1>Index of " +
		title + "</h1>\n<hr><pre>")
	if parent {
		b.WriteString("<a href=\"../\">../</a>\n")
	}
	for _, e := range page.Entries {
		name := html.EscapeString(e.Name)
		// Without ./ a browser would take a name with a colon for a URL with a scheme.
		b.WriteString(`<a href="./` + html.EscapeString(escapeName(e.Name)) + `">` + name + "</a>")
		if !e.Added.IsZero() {
			b.WriteString(strings.Repeat(" ", max(nameColumn-utf8.RuneCountInString(e.Name), 1)))
			b.WriteString(e.Added.Format("02-Jan-2006 15:04") + "  ")
			if e.Size != nil {
				b.WriteString(humanSize(*e.Size))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("</pre><hr>")
	if page.After != "" {
		next := "?after=" + url.QueryEscape(page.After) + "&limit=" + strconv.Itoa(limit)
		w.Header().Set("Link", "<"+next+`>; rel="next"`)
		b.WriteString(`<a href="` + html.EscapeString(next) + `" rel="next">next page</a>`)
	}
	b.WriteString("</body>\n</html>\n")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", ownPages)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	_, _ = w.Write(b.Bytes())
}

// escapeName returns a name as a segment of a URL.
func escapeName(name string) string {
	if n, folder := strings.CutSuffix(name, "/"); folder {
		return url.PathEscape(n) + "/"
	}
	return url.PathEscape(name)
}

// humanSize returns a size as Pulp writes it: "1 Byte", "12 Bytes", "1.0 kB".
func humanSize(n int64) string {
	switch {
	case n == 1:
		return "1 Byte"
	case n < 1000:
		return strconv.FormatInt(n, 10) + " Bytes"
	}
	value, unit := float64(n)/1000, "kB"
	for _, next := range []string{"MB", "GB", "TB", "PB", "EB"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, next
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
}
