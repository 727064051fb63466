package rest_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
)

// recorder keeps the statements of a database handle, so that a bare handler can send the same ones.
type recorder struct {
	mu         sync.Mutex
	statements []string
	on         bool
}

func (r *recorder) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on {
		r.statements = append(r.statements, e.Query)
	}
	return ctx
}

func (r *recorder) AfterQuery(context.Context, *bun.QueryEvent) {}

// record returns the statements of a function.
func record(api *bundle, fn func()) []string {
	r := &recorder{on: true}
	api.db.Conn().Bun.AddQueryHook(r) //nolint:staticcheck // WithQueryHook makes another handle, which the API has not
	fn()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = false
	return r.statements
}

// discard is a client that reads nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// benchRequest is a request that a benchmark sends again and again.
type benchRequest struct {
	method, target string
	body           func() string // nil without a body
	want           int           // status
}

// send sends the request to a handler. The request is made anew each time, and the answer is not kept.
func (e benchRequest) send(tb testing.TB, h http.Handler) {
	tb.Helper()
	var r *http.Request
	if e.body == nil {
		r = httptest.NewRequest(e.method, e.target, nil)
	} else {
		r = httptest.NewRequest(e.method, e.target, strings.NewReader(e.body()))
		r.Header.Set("Content-Type", "application/json")
	}
	r.SetBasicAuth(admin, password)
	w := &discard{header: http.Header{}}
	h.ServeHTTP(w, r)
	if w.status != e.want {
		tb.Fatalf("%s %s = %d, want %d", e.method, e.target, w.status, e.want)
	}
}

// measure measures a handler. With rows it reports the allocations for each of so many rows.
func (e benchRequest) measure(b *testing.B, h http.Handler, rows int) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		e.send(b, h)
	}
	if rows > 0 {
		b.ReportMetric(testing.AllocsPerRun(20, func() { e.send(b, h) })/float64(rows), "allocs/row")
	}
}

// compare sends the request to two handlers in turns and reports the medians and their ratio: the load of a machine
// changes between two benchmarks, and hardly between two requests.
func (e benchRequest) compare(b *testing.B, bare, api http.Handler) {
	b.Helper()
	var took [2][]time.Duration
	for b.Loop() {
		for i, h := range []http.Handler{bare, api} {
			start := time.Now()
			e.send(b, h)
			took[i] = append(took[i], time.Since(start))
		}
	}
	median := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)/2])
	}
	b.ReportMetric(median(took[0])/1e3, "bare-µs")
	b.ReportMetric(median(took[1])/1e3, "api-µs")
	b.ReportMetric(median(took[1])/median(took[0]), "api/bare")
}

// bareRow is a repository as the API answers about it.
type bareRow struct {
	Href        string             `json:"pulp_href"`
	PRN         string             `json:"prn"`
	Created     bareTime           `json:"pulp_created"`
	Updated     bareTime           `json:"pulp_last_updated"`
	Versions    string             `json:"versions_href"`
	Latest      string             `json:"latest_version_href"`
	Name        string             `json:"name"`
	Description *string            `json:"description"`
	Labels      map[string]*string `json:"pulp_labels"`
	Retain      *int               `json:"retain_repo_versions"`
	Checkpoints *int               `json:"retain_checkpoints"`
	Remote      *string            `json:"remote"`
	Autopublish bool               `json:"autopublish"`
	Manifest    *string            `json:"manifest"`
}

type bareTime struct{ time.Time }

func (t bareTime) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000000Z"`), nil
}

// barePage is a page of repositories.
type barePage struct {
	Count    int64      `json:"count"`
	Next     *string    `json:"next"`
	Previous *string    `json:"previous"`
	Results  []*bareRow `json:"results"`
}

// bareList answers as the API does, by the same statements, with nothing around them.
type bareList struct {
	db         *sql.DB
	statements []string
	next       string
}

func (l *bareList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page, err := l.read(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	raw, err := json.Marshal(page)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(raw)
}

func (l *bareList) read(ctx context.Context) (*barePage, error) {
	page := &barePage{Next: &l.next}
	if err := l.db.QueryRowContext(ctx, l.statements[0]).Scan(&page.Count); err != nil {
		return nil, err
	}
	var order []uuid.UUID
	err := l.each(ctx, l.statements[1], func(rows *sql.Rows) error {
		var id uuid.UUID
		defer func() { order = append(order, id) }()
		return rows.Scan(&id)
	})
	if err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]*bareRow, len(order))
	err = l.each(ctx, l.statements[2], func(rows *sql.Rows) error {
		var (
			id, domain uuid.UUID
			pulpType   string
			labels     []byte
			number     int
			hidden     bool
		)
		row := &bareRow{}
		err := rows.Scan(&id, &row.Created.Time, &row.Updated.Time, &domain, &pulpType, &row.Name, &row.Description,
			&labels, &number, &row.Retain, &row.Checkpoints, &hidden, &row.Remote, &row.Autopublish, &row.Manifest)
		if err != nil {
			return err
		}
		row.Href = "/pulp/api/v3/repositories/file/file/" + id.String() + "/"
		row.PRN, row.Versions = "prn:file.filerepository:"+id.String(), row.Href+"versions/"
		byID[id] = row
		return json.Unmarshal(labels, &row.Labels)
	})
	if err != nil {
		return nil, err
	}
	err = l.each(ctx, l.statements[3], func(rows *sql.Rows) error {
		var id uuid.UUID
		var number int
		if err := rows.Scan(&id, &number); err != nil {
			return err
		}
		byID[id].Latest = byID[id].Versions + fmt.Sprint(number) + "/"
		return nil
	})
	for _, id := range order {
		page.Results = append(page.Results, byID[id])
	}
	return page, err
}

func (l *bareList) each(ctx context.Context, statement string, fn func(*sql.Rows) error) error {
	rows, err := l.db.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// BenchmarkListPage lists 100 of 1,000 repositories, with the API and with a bare handler that sends the same
// statements and the same bytes.
func BenchmarkListPage(b *testing.B) {
	const target, rows = "/pulp/api/v3/repositories/file/file/?limit=100", 100
	for _, d := range dbtest.URLs(b) {
		api := setup(b, d.URL, nil)
		for i := range 1000 {
			api.create("repositories/file/file/", map[string]any{"name": fmt.Sprint(i)})
		}
		var answer *answer
		list := &bareList{db: api.db.Conn().Bun.DB}
		list.statements = record(api, func() { answer = api.do("GET", target, nil).want(http.StatusOK) })
		list.next = answer.str("next")
		bare := httptest.NewRecorder()
		list.ServeHTTP(bare, httptest.NewRequest(http.MethodGet, target, nil))
		if diff := cmp.Diff(string(answer.body), bare.Body.String()); diff != "" {
			b.Fatalf("the bare handler answers otherwise:\n%s", diff)
		}
		e := benchRequest{method: "GET", target: target, want: http.StatusOK}
		b.Run(d.Name+"/bare", func(b *testing.B) { e.measure(b, list, rows) })
		b.Run(d.Name+"/api", func(b *testing.B) { e.measure(b, api.api, rows) })
		b.Run(d.Name+"/ratio", func(b *testing.B) { e.compare(b, list, api.api) })
	}
}

// bareCreate makes repositories by the statements that the API sent for one.
type bareCreate struct {
	db         *sql.DB
	statements []string
	ids        []string // in the statements, to be replaced
}

// newBareCreate finds the keys of new rows in the recorded statements, which each request replaces by fresh keys.
func newBareCreate(api *bundle, statements []string, name string) *bareCreate {
	c := &bareCreate{db: api.db.Conn().Bun.DB}
	domain := api.db.Domain().ID.String()
	for _, s := range statements {
		for word := range strings.SplitSeq(s, "'") {
			id, err := uuid.Parse(word)
			if err == nil && len(word) == 36 && id != uuid.Nil && word != domain && !slices.Contains(c.ids, word) {
				c.ids = append(c.ids, word)
			}
		}
		c.statements = append(c.statements, strings.ReplaceAll(s, "'"+name+"'", "'NAME'"))
	}
	return c
}

func (c *bareCreate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	row, err := c.create(r.Context(), in.Name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	raw, err := json.Marshal(row)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(raw)
}

func (c *bareCreate) create(ctx context.Context, name string) (*bareRow, error) {
	pairs := []string{"NAME", name}
	ids := make([]string, len(c.ids))
	for i, old := range c.ids {
		ids[i] = models.NewID().String()
		pairs = append(pairs, old, ids[i])
	}
	replacer := strings.NewReplacer(pairs...)
	var conn interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	} = c.db
	var tx *sql.Tx
	for _, s := range c.statements {
		var err error
		switch s {
		case "BEGIN":
			tx, err = c.db.BeginTx(ctx, nil)
			conn = tx
		case "COMMIT":
			err = tx.Commit()
			conn = c.db
		default:
			_, err = conn.ExecContext(ctx, replacer.Replace(s))
		}
		if err != nil {
			return nil, err
		}
	}
	now := bareTime{time.Now()}
	row := &bareRow{Created: now, Updated: now, Name: name, Labels: map[string]*string{}}
	row.Href = "/pulp/api/v3/repositories/file/file/" + ids[0] + "/"
	row.PRN, row.Versions = "prn:file.filerepository:"+ids[0], row.Href+"versions/"
	row.Latest = row.Versions + "0/"
	return row, nil
}

// BenchmarkCreate makes repositories, with the API and with a bare handler that sends the same statements.
func BenchmarkCreate(b *testing.B) {
	const target = "/pulp/api/v3/repositories/file/file/"
	for _, d := range dbtest.URLs(b) {
		api := setup(b, d.URL, nil)
		bare := newBareCreate(api, record(api, func() { api.create(target, map[string]any{"name": "first"}) }), "first")
		n := 0
		body := func() string {
			n++
			return fmt.Sprintf(`{"name": "%d"}`, n)
		}
		e := benchRequest{"POST", target, body, http.StatusCreated}
		b.Run(d.Name+"/bare", func(b *testing.B) { e.measure(b, bare, 0) })
		b.Run(d.Name+"/api", func(b *testing.B) { e.measure(b, api.api, 0) })
		b.Run(d.Name+"/ratio", func(b *testing.B) { e.compare(b, bare, api.api) })
	}
}

func BenchmarkRead(b *testing.B) {
	for _, d := range dbtest.URLs(b) {
		api := setup(b, d.URL, nil)
		repo := api.create("repositories/file/file/", map[string]any{"name": "r"})
		e := benchRequest{method: "GET", target: repo, want: http.StatusOK}
		b.Run(d.Name, func(b *testing.B) { e.measure(b, api.api, 0) })
	}
}

func BenchmarkDocument(b *testing.B) {
	api := setup(b, dbtest.SQLite(b), nil)
	size := len(api.do("GET", "docs/api.json", nil).want(200).body)
	b.SetBytes(int64(size))
	for b.Loop() {
		api.do("GET", "docs/api.json", nil).want(200)
	}
}
