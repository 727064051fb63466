package content_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
)

// cuts sends the right length and n bytes, and breaks off.
func cuts(text string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// change edits a column of the remotes of a file.
func (s *site) change(file uuid.UUID, column string, edit func(*Remote)) {
	s.t.Helper()
	sources, err := lookup.RemoteSources(s.t.Context(), s.db, file, time.Time{}.Add(time.Hour))
	s.must(err)
	for _, source := range sources {
		rm, err := remotes.Get(s.t.Context(), s.db, models.Ref[Remote]{ID: source.RemoteID})
		s.must(err)
		edit(rm)
		s.must(remotes.Update(s.t.Context(), s.db, rm, column))
	}
}

// A source that breaks off when a client has read something cuts that client only: the next one gets another source. A
// client that has read nothing yet gets it at once.
func TestNextSourceAfterACut(t *testing.T) {
	text := body(large)
	for _, policy := range []models.Policy{models.OnDemand, models.Streamed} {
		t.Run(string(policy), func(t *testing.T) {
			each(t, nil, func(t *testing.T, s *site) {
				bad, good := newUpstream(t, cuts(text, 200<<10)), newUpstream(t, sends(text, true))
				file := s.absent(policy, bad.URL, promise(text))
				s.remote(policy, file, good.URL, promise(text))
				first := s.get("/pulp/content/x/f")
				if first.StatusCode == 200 && first.err == nil && first.body != text {
					t.Errorf("first GET = %d bytes of a source that broke off, taken for whole", len(first.body))
				}
				second := s.get("/pulp/content/x/f")
				if second.err != nil || second.body != text {
					t.Errorf("second GET = %d with %d bytes, %v", second.StatusCode, len(second.body), second.err)
				}
				if bad.requests.Load() != 1 || good.requests.Load() < 1 {
					t.Errorf("%d and %d requests, want 1 of the source that breaks off", bad.requests.Load(), good.requests.Load())
				}
			})
		})
	}
}

// The only source is asked again, however often it breaks off.
func TestOnlySourceAfterACut(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	text := body(large)
	u := newUpstream(t, cuts(text, 200<<10))
	s.absent(models.OnDemand, u.URL, promise(text))
	for range 3 {
		s.get("/pulp/content/x/f")
	}
	if n := u.requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

// While another source exists, one that fails before a client has read a byte is not retried.
func TestFallbackDoesNotRetry(t *testing.T) {
	t.Parallel()
	text := body(large)
	for name, h := range map[string]http.HandlerFunc{
		"server error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"early cut":    cuts(text, 1000),
		"no answer":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sqlite(t), nil)
			bad, good := newUpstream(t, h), newUpstream(t, sends(text, true))
			file := s.absent(models.OnDemand, bad.URL, promise(text))
			s.remote(models.OnDemand, file, good.URL, promise(text))
			s.change(file, "max_retries", func(r *Remote) { r.MaxRetries = new(3) })
			if got := s.get("/pulp/content/x/f"); got.err != nil || got.body != text {
				t.Errorf("GET = %d with %d bytes, %v", got.StatusCode, len(got.body), got.err)
			}
			// The transport asks once more by itself if a kept connection turns out to be closed.
			if n := bad.requests.Load(); n > 2 {
				t.Errorf("%d requests to the bad source", n)
			}
		})
	}
}

// Many clients that wait for a remote that does not answer leave places for all others.
func TestSilentRemoteDoesNotStarveOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), &siteOptions{Options: content.Options{MaxFetches: 4}})
	asked, hold := make(chan struct{}, 20), make(chan struct{})
	silent := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-hold:
			sends("late", true)(w, r)
		case <-r.Context().Done():
		}
	})
	rm := &Remote{}
	rm.Name, rm.URL, rm.Policy, rm.MaxRetries = uniqueName(), silent.URL, models.OnDemand, new(0)
	s.must(remotes.Create(t.Context(), s.db, rm))
	r := s.repo()
	var units []uuid.UUID
	for i := range 20 {
		u, file := s.unit(fmt.Sprint(i), nil)
		units = append(units, u)
		s.must(models.SaveRemoteArtifacts(t.Context(), s.db, []*models.RemoteArtifact{{
			ContentArtifactID: file, RemoteID: rm.ID, URL: silent.URL + fmt.Sprint("/", i),
		}}))
	}
	s.version(r, units...)
	s.distribute("a", r)
	s.absent(models.OnDemand, newUpstream(t, sends("healthy", true)).URL, promise("healthy"))
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			if got := s.get(fmt.Sprint("/pulp/content/a/", i)); got.body != "late" {
				t.Errorf("GET %d = %d %q", i, got.StatusCode, got.body)
			}
		})
	}
	<-asked
	if got := s.get("/pulp/content/x/f"); got.body != "healthy" {
		t.Errorf("GET of another remote = %d %q", got.StatusCode, got.body)
	}
	close(hold)
	clients.Wait()
}

// What a client learns from the status: whether the file is gone, or its source.
func TestUpstreamStatus(t *testing.T) {
	t.Parallel()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, tt := range []struct {
		name    string
		sources []http.HandlerFunc
		want    int
	}{
		{"gone", []http.HandlerFunc{status(410)}, 404},
		{"forbidden", []http.HandlerFunc{status(403)}, 502},
		{"unavailable", []http.HandlerFunc{status(503)}, 502},
		{"cut", []http.HandlerFunc{cuts(body(large), 10)}, 502},
		{"redirect to nowhere", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "ftp://x/")
			w.WriteHeader(302)
		}}, 502},
		{"silent", []http.HandlerFunc{silent}, 504},
		{"dead, then gone", []http.HandlerFunc{status(500), status(404)}, 502},
		{"gone, then dead", []http.HandlerFunc{status(404), status(500)}, 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sqlite(t), nil)
			var file uuid.UUID
			for i, h := range tt.sources {
				if u := newUpstream(t, h); i == 0 {
					file = s.absent(models.OnDemand, u.URL, promise(body(large)))
				} else {
					s.remote(models.OnDemand, file, u.URL, promise(body(large)))
				}
			}
			if tt.want == 504 {
				s.change(file, "sock_read_timeout", func(r *Remote) { r.SockReadTimeout = new(0.05) })
			}
			if got := s.get("/pulp/content/x/f"); got.StatusCode != tt.want {
				t.Errorf("GET = %d, want %d", got.StatusCode, tt.want)
			}
		})
	}
}

// A part of an absent file is sent only when the whole file was found right.
func TestRangeOfWrongFile(t *testing.T) {
	t.Parallel()
	text, zeros := body(large), strings.Repeat("0", large)
	for _, tt := range []struct {
		ranges string
		limit  int64
		sent   string
		status int // 0 is an answer that is cut, or 502
	}{
		{"bytes=0-99", 0, zeros, 502},
		{"bytes=0-0,5-9", 0, zeros, 502},
		{"bytes=0-99", 0, text, 206},
		{"bytes=0-99", -1, text, 206},
		{"bytes=100-", 0, zeros, 0},
		{"bytes=-100", 0, zeros, 0},
		{"bytes=100-", 0, text, 206},
	} {
		t.Run(fmt.Sprint(tt.ranges, tt.limit, tt.status), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sqlite(t), &siteOptions{Options: content.Options{MaxHeldRange: tt.limit}})
			s.absent(models.OnDemand, newUpstream(t, sends(tt.sent, true)).URL, promise(text))
			got, err := s.try(http.MethodGet, "/pulp/content/x/f", "Range", tt.ranges)
			switch {
			case tt.status == 0:
				if err == nil && got.StatusCode == 206 && got.err == nil {
					t.Errorf("a whole answer of %d wrong bytes", len(got.body))
				}
			case err != nil || got.StatusCode != tt.status:
				t.Errorf("GET = %+v, %v; want %d", got, err, tt.status)
			case got.StatusCode == 206 && !strings.Contains(text, got.body):
				t.Errorf("GET = wrong bytes")
			}
		})
	}
}

// A sync that names a source again ends its cool-down.
func TestResyncEndsCooldown(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		var mu sync.Mutex
		text := "wrong"
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			sends(text, true)(w, r)
		})
		file := s.absent(models.OnDemand, u.URL, promise("right"))
		sources, err := lookup.RemoteSources(t.Context(), s.db, file, time.Now())
		s.must(err)
		for _, want := range []int{502, 404} {
			if got := s.get("/pulp/content/x/f"); got.StatusCode != want {
				t.Errorf("GET of wrong bytes = %d, want %d", got.StatusCode, want)
			}
		}
		mu.Lock()
		text = "right"
		mu.Unlock()
		again := &models.RemoteArtifact{ContentArtifactID: file, RemoteID: sources[0].RemoteID, URL: u.URL}
		again.Digests, again.Size = promise("right").Digests, promise("right").Size
		s.must(models.SaveRemoteArtifacts(t.Context(), s.db, []*models.RemoteArtifact{again}))
		if got := s.get("/pulp/content/x/f"); got.body != "right" {
			t.Errorf("GET after the sync = %d %q", got.StatusCode, got.body)
		}
	})
}

// A file that a client has whole is stored, even if the app is closed at that moment.
func TestCloseStoresWhatIsWhole(t *testing.T) {
	t.Parallel()
	committing, hold := make(chan struct{}), make(chan struct{})
	s := newSite(t, sqlite(t), &siteOptions{store: t.TempDir(), storeOpt: &storage.Options{
		Intercept: func(_ context.Context, now storage.Op, _ string) error {
			if now == storage.OpCommit {
				close(committing)
				<-hold
			}
			return nil
		},
	}})
	file := s.absent(models.OnDemand, newUpstream(t, sends("text", true)).URL, promise("text"))
	other, otherFile := s.unit("g", nil)
	s.remote(models.Streamed, otherFile, newUpstream(t, sends("other", true)).URL, nil)
	r := s.repo()
	s.version(r, other)
	s.distribute("y", r)
	if got := s.get("/pulp/content/x/f"); got.body != "text" {
		t.Errorf("GET = %d %q", got.StatusCode, got.body)
	}
	<-committing
	closed := make(chan error)
	go func() { closed <- s.app.Close() }()
	for s.get("/pulp/content/y/g").StatusCode != 503 { // until the app refuses new fetches and has ended all others
	}
	close(hold)
	s.must(<-closed)
	if s.artifactOf(file).ArtifactID == nil {
		t.Error("nothing was saved")
	}
}

// The remote is deleted while its last file is on the way: who asks now gets the file like those who asked before.
func TestRemoteDeletedDuringFetch(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		text := body(large)
		hold := make(chan struct{})
		u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = io.WriteString(w, text[:200<<10])
			w.(http.Flusher).Flush()
			<-hold
			_, _ = io.WriteString(w, text[200<<10:])
		})
		file := s.absent(models.OnDemand, u.URL, promise(text))
		first, err := client.Get(s.url + "/pulp/content/x/f")
		s.must(err)
		defer first.Body.Close()
		_, err = io.ReadFull(first.Body, make([]byte, 1000)) // the fetch is under way
		s.must(err)
		sources, err := lookup.RemoteSources(t.Context(), s.db, file, time.Now())
		s.must(err)
		_, err = s.db.Bun().NewDelete().Model((*models.RemoteArtifact)(nil)).Where("ra.pulp_id = ?", sources[0].ID).
			Exec(t.Context())
		s.must(err)
		second, err := client.Get(s.url + "/pulp/content/x/f")
		s.must(err)
		defer second.Body.Close()
		close(hold)
		if got, err := io.ReadAll(second.Body); second.StatusCode != 200 || err != nil || string(got) != text {
			t.Errorf("GET = %d with %d bytes, %v", second.StatusCode, len(got), err)
		}
		if rest, err := io.ReadAll(first.Body); err != nil || len(rest) != len(text)-1000 {
			t.Errorf("first GET = %d bytes more, %v", len(rest), err)
		}
		s.drain()
		if s.artifactOf(file).ArtifactID == nil {
			t.Error("nothing was saved")
		}
	})
}
