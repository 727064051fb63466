package content_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Parcel is a unit of two files, "<name>.head" and "<name>.body", whose head must be "head of <name>".
type Parcel struct {
	models.Content
	Name string `json:"name" pulp:"natural"`
	Size int64  `json:"size"` // of the body, in bytes
}

// Puller also serves the parcels of its remote.
type Puller struct{ models.Distribution }

var (
	parcels = models.Define[Parcel]("test.parcel")
	pullers = models.Define[Puller]("test.puller", models.PullsFrom(remotes))
)

func (*Puller) RemoteUnit(r *content.Request) models.RemoteUnit {
	name, ext, found := strings.Cut(r.Path, ".")
	if !found || ext != "head" && ext != "body" && ext != "tail" {
		return nil
	}
	return &Parcel{Name: name}
}

func (c *Parcel) FetchUnit(ctx context.Context, p *models.Pull) ([]models.PulledFile, error) {
	switch c.Name {
	case "panic":
		panic("boom")
	case "exit":
		runtime.Goexit()
	case "kindless":
		return nil, errors.New("fault of the plugin")
	}
	var files []models.PulledFile
	for _, ext := range []string{".head", ".body"} {
		url := p.Remote.AsRemote().URL + "/" + c.Name + ext
		got, err := p.Fetch(ctx, &download.Request{URL: url})
		if err != nil {
			return nil, err
		}
		c.Size = got.Size
		files = append(files, models.PulledFile{RelativePath: c.Name + ext, Path: got.Path, URL: url})
	}
	head, err := os.ReadFile(files[0].Path)
	if err == nil && string(head) != "head of "+c.Name {
		err = pulperr.Public(pulperr.Invalid, "the head of %q is %q", c.Name, head)
	}
	return files, err
}

// shop is an upstream with parcels. It answers once open is closed.
func shop(t testing.TB, open <-chan struct{}) *upstream {
	return newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		<-open
		name, ext, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".")
		switch {
		case name == "absent" || name == "half" && ext == "body":
			http.NotFound(w, r)
		case name == "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case name == "forbidden":
			w.WriteHeader(http.StatusForbidden)
		case name == "cut" && ext == "body":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("part"))
		case name == "tampered" && ext == "head":
			_, _ = w.Write([]byte("another head"))
		default:
			_, _ = fmt.Fprintf(w, "%s of %s", ext, name)
		}
	})
}

func opened() <-chan struct{} {
	open := make(chan struct{})
	close(open)
	return open
}

// adoptions are the units that were added to repositories, one entry per call.
type adoptions struct {
	mu    sync.Mutex
	calls []string
	err   error // of the next call
}

func (a *adoptions) add(_ context.Context, repository uuid.UUID, units []uuid.UUID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.err
	if a.err = nil; err == nil {
		a.calls = append(a.calls, fmt.Sprint(repository, len(units)))
	}
	return err
}

// puller serves the parcels of a remote at x.
func (s *site) puller(url string, repo *Repo) *Remote {
	s.t.Helper()
	rm := &Remote{}
	rm.Name, rm.URL, rm.MaxRetries = uniqueName(), url, new(0)
	s.must(remotes.Create(s.t.Context(), s.db, rm))
	d := &Puller{}
	d.Name, d.BasePath, d.RemoteID = uniqueName(), "x", &rm.ID
	if repo != nil {
		d.RepositoryID = &repo.ID
	}
	s.must(pullers.Create(s.t.Context(), s.db, d))
	return rm
}

// saved returns the names of the parcels.
func (s *site) saved() (names []string) {
	s.t.Helper()
	list, err := parcels.List(s.t.Context(), s.db, models.OrderBy("name"))
	s.must(err)
	for _, p := range list {
		names = append(names, p.Name)
	}
	return names
}

func TestPullThrough(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		up := shop(t, opened())
		s.puller(up.URL, s.repo()) // without AddContent nothing is added to the repository
		for _, path := range []string{"a.head", "a.body", "a.head", "b.body"} {
			name, ext, _ := strings.Cut(path, ".")
			if got := s.get("/pulp/content/x/" + path); got.StatusCode != 200 || got.body != ext+" of "+name {
				t.Errorf("GET %s = %d %q", path, got.StatusCode, got.body)
			}
		}
		if n := up.requests.Load(); n != 4 {
			t.Errorf("the upstream was asked %d times, want once for each file", n)
		}
		if diff := cmp.Diff([]string{"a", "b"}, s.saved()); diff != "" {
			t.Errorf("saved (-want +got):\n%s", diff)
		}
	})
}

// TestPullThroughAsksTheGuard makes sure that a client whom the guard refuses neither gets a file nor has it fetched.
func TestPullThroughAsksTheGuard(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		up := shop(t, opened())
		s.puller(up.URL, nil)
		d, err := pullers.One(t.Context(), s.db, models.Eq("base_path", "x"))
		s.must(err)
		s.protect(d, "sesame")
		if got := s.get("/pulp/content/x/a.head", "Token", "nonsense"); got.StatusCode != 403 {
			t.Errorf("GET without the token = %d %q, want 403", got.StatusCode, got.body)
		}
		if n, saved := up.requests.Load(), s.saved(); n != 0 || saved != nil {
			t.Errorf("the upstream was asked %d times, and %q are saved, want nothing", n, saved)
		}
		if got := s.get("/pulp/content/x/a.head", "Token", "sesame"); got.StatusCode != 200 || got.body != "head of a" {
			t.Errorf("GET with the token = %d %q", got.StatusCode, got.body)
		}
	})
}

func TestPulledUnitsAreAddedTogether(t *testing.T) {
	t.Parallel()
	added := &adoptions{err: errors.New("the queue is down")}
	s := newSite(t, sqlite(t), &siteOptions{Options: content.Options{AddContent: added.add}})
	repo := s.repo()
	s.puller(shop(t, opened()).URL, repo)
	var want []string
	for range 3 {
		for _, path := range []string{"a.head", "b.head", "a.body"} {
			s.get("/pulp/content/x/" + path)
		}
		s.must(s.app.Idle(t.Context()))
		if diff := cmp.Diff(want, added.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		// The first call failed, and after the second one there is nothing to add for a while.
		want = []string{fmt.Sprint(repo.ID, 2)}
	}
}

func TestPullThroughRefuses(t *testing.T) {
	for path, want := range map[string]int{
		"absent.head": 404, "half.head": 404, "a.tail": 404, "a.other": 404, "dir/": 404,
		"broken.head": 502, "forbidden.head": 502, "cut.head": 502, "tampered.head": 502, "tampered.body": 502,
		"panic.head": 500, "exit.head": 500, "kindless.head": 500,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := newSite(t, sqlite(t), &siteOptions{Options: content.Options{WorkDir: dir}})
			s.puller(shop(t, opened()).URL, nil)
			if got := s.get("/pulp/content/x/" + path); got.StatusCode != want {
				t.Errorf("GET = %d %q, want %d", got.StatusCode, got.body, want)
			}
			if names := s.saved(); len(names) > 0 && path != "a.tail" {
				t.Errorf("saved %v, want nothing", names)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left in the work directory: %v, %v", left, err)
			}
		})
	}
}

func TestPullThroughWithoutWorkDir(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), &siteOptions{noWorkDir: true})
	s.puller(shop(t, opened()).URL, nil)
	if got := s.get("/pulp/content/x/a.head"); got.StatusCode != 503 {
		t.Errorf("GET = %d %q, want 503", got.StatusCode, got.body)
	}
}

// TestPullOfKnownUnit: what another source has brought is served only if this remote has the same bytes.
func TestPullOfKnownUnit(t *testing.T) {
	for body, want := range map[string]int{"body of a": 200, "secret body": 502} {
		t.Run(body, func(t *testing.T) {
			each(t, nil, func(t *testing.T, s *site) {
				up := shop(t, opened())
				s.puller(up.URL, nil)
				a, err := models.NewArtifact(t.Context(), s.db, s.store, strings.NewReader(body), nil)
				s.must(err)
				known := &models.ContentWithFiles{
					Content: &Parcel{Name: "a"}, Files: []models.ContentFile{{RelativePath: "a.body", ArtifactID: &a.ID}},
				}
				s.must(models.SaveContents(t.Context(), s.db, []*models.ContentWithFiles{known}))
				for range 2 {
					if got := s.get("/pulp/content/x/a.body"); got.StatusCode != want || want == 200 && got.body != body {
						t.Errorf("GET = %d %q, want %d", got.StatusCode, got.body, want)
					}
				}
				files, err := models.ArtifactsOf(t.Context(), s.db, []uuid.UUID{known.Content.PulpID()})
				s.must(err)
				if now := files[known.Content.PulpID()]["a.body"]; now == nil || now.SHA256 != sum(body) {
					t.Errorf("the file has become %v, want the first bytes", now)
				}
			})
		})
	}
}

func TestPullsOfOneUnitShareIt(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		open := make(chan struct{})
		up := shop(t, open)
		s.puller(up.URL, nil)
		const clients = 40
		answers := make(chan string, clients)
		var group sync.WaitGroup
		for i := range clients {
			path := []string{"a.head", "a.body"}[i%2]
			group.Go(func() { answers <- s.get("/pulp/content/x/" + path).body })
		}
		// The first client leaves before the upstream answers.
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			for up.requests.Load() == 0 && ctx.Err() == nil {
				runtime.Gosched()
			}
			leave()
		}()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/pulp/content/x/a.head", nil)
		s.must(err)
		if res, err := client.Do(req); err == nil {
			_ = res.Body.Close()
			t.Error("the client that left got an answer")
		}
		close(open)
		group.Wait()
		close(answers)
		counts := map[string]int{}
		for a := range answers {
			counts[a]++
		}
		if diff := cmp.Diff(map[string]int{"head of a": clients / 2, "body of a": clients / 2}, counts); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		if n := up.requests.Load(); n != 2 {
			t.Errorf("the upstream was asked %d times, want once for each file", n)
		}
	})
}

func TestPullIsCutByClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSite(t, sqlite(t), &siteOptions{Options: content.Options{WorkDir: dir}})
	open := make(chan struct{})
	defer close(open)
	up := shop(t, open)
	s.puller(up.URL, nil)
	status := make(chan int, 1)
	go func() { status <- s.get("/pulp/content/x/a.head").StatusCode }()
	for up.requests.Load() == 0 {
		runtime.Gosched()
	}
	s.must(s.app.Close())
	if got := <-status; got < 500 {
		t.Errorf("GET = %d, want an error of the server", got)
	}
	if got := s.get("/pulp/content/x/a.head").StatusCode; got != 503 {
		t.Errorf("GET after Close = %d, want 503", got)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if names := s.saved(); err != nil || len(left) > 0 || len(names) > 0 {
		t.Errorf("left %v, %v, saved %v; want nothing", left, err, names)
	}
}

// TestPulledFileIsFetchedAgain: the store has lost a file.
func TestPulledFileIsFetchedAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	up := shop(t, opened())
	s.puller(up.URL, nil)
	for range 2 {
		if got := s.get("/pulp/content/x/a.head"); got.body != "head of a" {
			t.Errorf("GET = %d %q", got.StatusCode, got.body)
		}
		s.must(s.store.Delete(t.Context(), (&models.Artifact{Digests: promise("head of a").Digests}).Key()))
	}
	if got := up.requests.Load(); got != 3 {
		t.Errorf("the upstream was asked %d times, want 3", got)
	}
}

// TestDeferredUnit: a sync has left the files of a unit at the remote.
func TestDeferredUnit(t *testing.T) {
	for name, want := range map[string]int{"a": 200, "tampered": 502, "absent": 404, "orphan": 404} {
		t.Run(name, func(t *testing.T) {
			each(t, nil, func(t *testing.T, s *site) {
				up, repo := shop(t, opened()), s.repo()
				unit := &models.ContentWithFiles{
					Content: &Parcel{Name: name},
					Files:   []models.ContentFile{{RelativePath: name + ".head"}, {RelativePath: name + ".body"}},
				}
				s.must(models.SaveContents(t.Context(), s.db, []*models.ContentWithFiles{unit}))
				for _, f := range unit.Files {
					if name != "orphan" {
						s.remote(models.Streamed, f.ID, up.URL, nil)
					}
				}
				s.version(repo, unit.Content.PulpID())
				s.distribute("x", repo)
				for _, path := range []string{name + ".body", name + ".head"} {
					if got := s.get("/pulp/content/x/" + path); got.StatusCode != want {
						t.Errorf("GET %s = %d %q, want %d", path, got.StatusCode, got.body, want)
					}
				}
				if n := up.requests.Load(); want == 200 && n != 2 {
					t.Errorf("the upstream was asked %d times, want once for each file", n)
				}
				saved, err := models.ArtifactsOf(t.Context(), s.db, []uuid.UUID{unit.Content.PulpID()})
				s.must(err)
				if n := len(saved[unit.Content.PulpID()]); (n == 2) != (want == 200) {
					t.Errorf("%d files are stored", n)
				}
			})
		})
	}
}
