package content_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// The types of a small plugin.
type (
	File struct {
		models.Content
		Path   string `json:"relative_path" pulp:"natural"`
		Digest string `json:"digest" pulp:"natural"`
	}
	Remote       struct{ models.Remote }
	Repo         struct{ models.Repository }
	Publication  struct{ models.Publication }
	Distribution struct{ models.Distribution }
	// Strict serves nothing without a publication.
	Strict struct{ models.Distribution }
	// Own answers some paths itself, lists more names than there are and sets headers.
	Own struct {
		models.Distribution
		Greeting string `json:"greeting"`
	}
	Guard struct {
		models.ContentGuard
		Token string `json:"token"`
	}
	Mute struct{ models.ContentGuard }
	// Next asks another guard and returns its answer.
	Next struct {
		models.ContentGuard
		Other *uuid.UUID `json:"other"`
		Times int        `json:"times"`
	}
	// Limit permits versions up to a number.
	Limit struct {
		models.ContentGuard
		Number int `json:"number"`
	}
)

var (
	files         = models.Define[File]("test.file")
	remotes       = models.Define[Remote]("test.test")
	repos         = models.Define[Repo]("test.test", models.Accepts(files, parcels))
	publications  = models.Define[Publication]("test.test")
	distributions = models.Define[Distribution]("test.test")
	stricts       = models.Define[Strict]("test.strict")
	owns          = models.Define[Own]("test.own")
	guards        = models.Define[Guard]("test.guard")
	mutes         = models.Define[Mute]("test.mute")
	nexts         = models.Define[Next]("test.next")
	limits        = models.Define[Limit]("test.limit")
)

func (*Strict) NeedsPublication() bool { return true }

func (o *Own) ContentHandler(_ context.Context, r *content.Request) (http.Handler, error) {
	a, path := r.App, r.Path
	if id, ok := strings.CutPrefix(path, "by-id/"); ok {
		key, err := uuid.Parse(id)
		if err != nil {
			return nil, pulperr.Public(pulperr.NotFound, "There is no file %s.", id)
		}
		return a.ServeFile(key, "named.txt", http.Header{"Content-Type": {"text/x-own"}}), nil
	}
	if number, ok := strings.CutPrefix(path, "fails/"); ok {
		kind, err := strconv.ParseUint(number, 10, 8)
		return nil, errors.Join(err, pulperr.Kind(kind))
	}
	if path != "hello" {
		return nil, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, o.Greeting) }), nil
}

func (*Own) ListDirectory(_ context.Context, r *content.Request) ([]string, error) {
	if r.Path != "" {
		return nil, nil
	}
	return []string{"hello", "by-id/", "a.txt"}, nil
}

func (*Own) ContentHeaders(r *content.Request) http.Header {
	return http.Header{"content-type": {"text/x-" + r.Path}, "Content-Length": {"1"}, "X-Own": {"yes"}}
}

// release is the key of a channel in the context of a request; a guard that hangs waits until it is closed.
type release struct{}

func (g *Guard) Permit(ctx context.Context, r *content.Request) error {
	switch token := r.HTTP.Header.Get("Token"); token {
	case g.Token:
		return nil
	case "":
		return pulperr.Public(pulperr.Unauthorized, "Who are you?")
	case "panic":
		panic("boom")
	case "heeds":
		<-ctx.Done()
		return ctx.Err()
	case "hangs":
		<-ctx.Value(release{}).(chan struct{})
		return nil
	case "busy":
		return pulperr.Public(pulperr.TooMany, "Later.")
	case "broken":
		return fmt.Errorf("guard: %w", pulperr.NotFound)
	default:
		return pulperr.Public(pulperr.Forbidden, "Not with %s.", token)
	}
}

func (n *Next) Permit(ctx context.Context, r *content.Request) error {
	for range n.Times {
		if err := r.Ask(ctx, *n.Other); err != nil {
			return err
		}
	}
	return nil
}

func (l *Limit) Permit(ctx context.Context, r *content.Request) error {
	source, err := r.Source(ctx)
	if errors.Is(err, pulperr.NotFound) {
		return pulperr.Public(pulperr.Forbidden, "nothing at %q", r.Path)
	}
	if err != nil {
		return err
	}
	v, err := source.Version(ctx)
	if err != nil {
		return err
	}
	p, err := source.Publication(ctx)
	if err != nil || v.Number != source.Number || (p == nil) != (source.PublicationID == nil) {
		return fmt.Errorf("version %d of %d, publication %v, %w", v.Number, source.Number, p, err)
	}
	if v.Number > l.Number {
		return pulperr.Public(pulperr.Forbidden, "version %d at %q", v.Number, r.Path)
	}
	return nil
}

// site is a content app with all that it needs.
type site struct {
	t          testing.TB
	db         *models.DB
	store      *storage.Store
	app        *content.App
	url        string // of the app, without a slash at the end
	statements *statementCounter
}

type siteOptions struct {
	content.Options
	store     string
	storeOpt  *storage.Options
	noWorkDir bool
}

func newSite(t testing.TB, dbURL string, o *siteOptions) *site {
	t.Helper()
	if o == nil {
		o = &siteOptions{}
	}
	s := &site{t: t, db: openDB(t, dbURL), statements: &statementCounter{}}
	s.db.Conn().Bun.AddQueryHook(s.statements) //nolint:staticcheck // counts for all handles
	if o.store == "" {
		o.store = "mem://"
	}
	var err error
	if s.store, err = storage.Open(t.Context(), o.store, o.storeOpt); err != nil {
		t.Fatal(err)
	}
	pool := download.NewPool(0)
	if o.WorkDir == "" && !o.noWorkDir {
		o.WorkDir = t.TempDir()
	}
	if s.app, err = content.New(s.db, s.store, pool, &o.Options); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.app)
	s.url = server.URL
	t.Cleanup(func() {
		server.Close()
		s.check(s.app.Close())
		s.check(pool.Close())
		s.check(s.store.Close())
	})
	return s
}

func openDB(t testing.TB, url string) *models.DB {
	t.Helper()
	return modelstest.Open(t, url, nil, models.PluginModels{Plugin: "test", Types: []models.AnyType{
		files, remotes, repos, publications, distributions, stricts, owns, guards, mutes, nexts, limits, parcels, pullers,
	}})
}

// each runs fn with a site on each kind of database.
func each(t *testing.T, o *siteOptions, fn func(t *testing.T, s *site)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		own := siteOptions{}
		if o != nil {
			own = *o
		}
		fn(t, newSite(t, url, &own))
	})
}

func (s *site) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

type statementCounter struct{ n atomic.Int64 }

func (c *statementCounter) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	return ctx
}
func (c *statementCounter) AfterQuery(context.Context, *bun.QueryEvent) { c.n.Add(1) }

var serial atomic.Int64

func uniqueName() string { return fmt.Sprintf("name-%d", serial.Add(1)) }

func sum(body string) string {
	d := sha256.Sum256([]byte(body))
	return hex.EncodeToString(d[:])
}

// unit saves a unit with one file; without a body its bytes are not here.
func (s *site) unit(path string, body *string) (unit, file uuid.UUID) {
	s.t.Helper()
	u := &models.ContentWithFiles{
		Content: &File{Path: path, Digest: uniqueName()}, Files: []models.ContentFile{{RelativePath: path}},
	}
	if body != nil {
		a, err := models.NewArtifact(s.t.Context(), s.db, s.store, strings.NewReader(*body), nil)
		s.must(err)
		u.Files[0].ArtifactID = &a.ID
	}
	s.must(models.SaveContents(s.t.Context(), s.db, []*models.ContentWithFiles{u}))
	return u.Content.PulpID(), u.Files[0].ID
}

func (s *site) repo() *Repo {
	s.t.Helper()
	r := &Repo{}
	r.Name = uniqueName()
	s.must(repos.Create(s.t.Context(), s.db, r))
	return r
}

// version adds units to a repository.
func (s *site) version(r *Repo, units ...uuid.UUID) *models.RepositoryVersion {
	s.t.Helper()
	v, _, err := models.CreateVersion(s.t.Context(), s.db, r, nil, func(v *models.NewVersion) error {
		_, err := v.Add(s.t.Context(), units)
		return err
	})
	s.must(err)
	return v
}

// tree makes a repository with stored files: path, body, path, body…
func (s *site) tree(pairs ...string) *Repo {
	s.t.Helper()
	r := s.repo()
	var units []uuid.UUID
	for i := 0; i < len(pairs); i += 2 {
		u, _ := s.unit(pairs[i], &pairs[i+1])
		units = append(units, u)
	}
	s.version(r, units...)
	return r
}

// publish publishes a version with files of its own: path, body…
func (s *site) publish(v *models.RepositoryVersion, passThrough bool, pairs ...string) *Publication {
	s.t.Helper()
	p := &Publication{}
	p.RepositoryVersionID, p.PassThrough = v.ID, passThrough
	s.must(models.Publish(s.t.Context(), s.db, s.store, p, func(n *models.NewPublication) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := n.Metadata(s.t.Context(), pairs[i], strings.NewReader(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	}))
	return p
}

// overlay is publish with files that have paths of files which are passed through. Publish refuses it, so this is what
// a later change of such a publication could bring about.
func (s *site) overlay(v *models.RepositoryVersion, pairs ...string) {
	s.t.Helper()
	p := s.publish(v, false, pairs...)
	p.PassThrough = true
	s.must(publications.Update(s.t.Context(), s.db, p, "pass_through"))
}

// distribute serves a repository under a base path.
func (s *site) distribute(base string, r *Repo) *Distribution {
	s.t.Helper()
	d := &Distribution{}
	d.Name, d.BasePath = uniqueName(), base
	if r != nil {
		d.RepositoryID = &r.ID
	}
	s.must(distributions.Create(s.t.Context(), s.db, d))
	return d
}

// remote makes a remote artifact of a file.
func (s *site) remote(policy models.Policy, file uuid.UUID, url string, e *hashlib.Expect) {
	s.t.Helper()
	rm := &Remote{}
	rm.Name, rm.URL, rm.Policy, rm.MaxRetries = uniqueName(), url, policy, new(0)
	s.must(remotes.Create(s.t.Context(), s.db, rm))
	ra := &models.RemoteArtifact{ContentArtifactID: file, RemoteID: rm.ID, URL: url}
	if e != nil {
		ra.Digests, ra.Size = e.Digests, e.Size
	}
	s.must(models.SaveRemoteArtifacts(s.t.Context(), s.db, []*models.RemoteArtifact{ra}))
}

// absent serves, at /pulp/content/x/f, a file that is at a remote. It returns the content artifact.
func (s *site) absent(policy models.Policy, url string, e *hashlib.Expect) uuid.UUID {
	s.t.Helper()
	u, file := s.unit("f", nil)
	s.remote(policy, file, url, e)
	r := s.repo()
	s.version(r, u)
	s.distribute("x", r)
	return file
}

// protect gives a distribution a guard that wants a token.
func (s *site) protect(d models.AnyDistribution, token string) *Guard {
	s.t.Helper()
	g := &Guard{Token: token}
	g.Name = uniqueName()
	s.must(guards.Create(s.t.Context(), s.db, g))
	s.guard(d, g.ID)
	return g
}

func (s *site) guard(d models.AnyDistribution, id uuid.UUID) {
	s.t.Helper()
	_, err := s.db.Bun().NewUpdate().TableExpr("core_distribution").Set("content_guard_id = ?", id).
		Where("pulp_id = ?", d.PulpID()).Exec(s.t.Context())
	s.must(err)
}

func promise(body string) *hashlib.Expect {
	return &hashlib.Expect{Digests: hashlib.SHA256Hex(sum(body)), Size: hashlib.Size(int64(len(body)))}
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
	err  error // of reading the body
}

func (s *site) do(method, path string, header ...string) *reply {
	s.t.Helper()
	rep, err := s.try(method, path, header...)
	s.must(err)
	return rep
}

func (s *site) get(path string, header ...string) *reply {
	s.t.Helper()
	return s.do(http.MethodGet, path, header...)
}

var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// try sends one request; path is as it goes over the wire.
func (s *site) try(method, path string, header ...string) (*reply, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.URL.Opaque = "//" + req.URL.Host + path
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.URL.Opaque = "//" + header[i+1] + path
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, resp.Body)
	return &reply{Response: resp, body: b.String(), err: err}, nil
}

// artifactOf returns what is saved of a content artifact.
func (s *site) artifactOf(file uuid.UUID) *lookup.File {
	s.t.Helper()
	f, err := lookup.FileByContentArtifact(s.t.Context(), s.db, file)
	s.must(err)
	return f
}

// drain waits for fetches that go on without clients.
func (s *site) drain() {
	s.t.Helper()
	s.must(s.app.Drain(s.t.Context()))
}
