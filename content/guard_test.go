package content_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/s3storage"
)

func TestGuard(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		d := s.distribute("x", s.tree("dir/f", "F"))
		s.protect(d, "sesame")
		tests := []struct {
			name, token string
			status      int
			body        string
		}{
			{"permitted", "sesame", 200, "F"},
			{"forbidden", "nonsense", 403, "403: Not with nonsense."},
			{"unauthorized", "", 401, "401: Who are you?"},
			{"too many", "busy", 429, "429: Later."},
			{"a panic of the guard", "panic", 500, "500: Internal Server Error"},
			{"a fault of the guard", "broken", 500, "500: Internal Server Error"},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				got := s.get("/pulp/content/x/dir/f", "Token", tt.token)
				if got.StatusCode != tt.status || got.body != tt.body {
					t.Errorf("GET = %d %q, want %d %q", got.StatusCode, got.body, tt.status, tt.body)
				}
				if tt.status == 200 {
					return
				}
				for _, path := range []string{
					"/pulp/content/x", "/pulp/content/x/", "/pulp/content/x/dir", "/pulp/content/x/no", "/pulp/content/x//dir/f",
				} {
					if got := s.get(path, "Token", tt.token); got.StatusCode != tt.status {
						t.Errorf("GET %s = %d, want %d", path, got.StatusCode, tt.status)
					}
				}
			})
		}
		mute := &Mute{}
		mute.Name = "mute"
		s.must(mutes.Create(t.Context(), s.db, mute))
		s.guard(d, mute.ID)
		if got := s.get("/pulp/content/x/dir/f"); got.StatusCode != 500 {
			t.Errorf("guard without Permit: %d, want 500", got.StatusCode)
		}
	})
}

// TestGuardIsAskedOnEveryPath sends requests of all kinds, first without access.
func TestGuardIsAskedOnEveryPath(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		up := newUpstream(t, sends("remote", true))
		stored := s.tree("dir/f", "0123456789", "a.txt", "A")
		s.protect(s.distribute("stored", stored), "sesame")
		published := s.tree("g", "G")
		v, err := models.LatestVersion(t.Context(), s.db, published.ID)
		s.must(err)
		s.publish(v, true, "index.html", "<p>")
		s.protect(s.distribute("published", published), "sesame")
		for _, policy := range []models.Policy{models.OnDemand, models.Streamed} {
			u, file := s.unit("f", nil)
			s.remote(policy, file, up.URL, promise("remote"))
			r := s.repo()
			s.version(r, u)
			s.protect(s.distribute(string(policy), r), "sesame")
		}
		own := &Own{Greeting: "hi"}
		own.Name, own.BasePath, own.RepositoryID = "own", "own", &stored.ID
		s.must(owns.Create(t.Context(), s.db, own))
		s.guard(own, s.protect(s.distribute("unused", nil), "sesame").ID)
		unit, file := s.unit("by id", nil)
		s.version(stored, unit)
		s.remote(models.OnDemand, file, up.URL, promise("remote"))
		checkpoints := s.distribute("cp", published)
		checkpoints.Checkpoint = true
		s.must(distributions.Update(t.Context(), s.db, checkpoints, "checkpoint"))
		s.protect(checkpoints, "sesame")

		tests := []struct {
			name, method, path, header, value string
			status                            int
		}{
			{"a stored file", "GET", "stored/dir/f", "", "", 200},
			{"HEAD of a stored file", "HEAD", "stored/dir/f", "", "", 200},
			{"a range of a stored file", "GET", "stored/dir/f", "Range", "bytes=2-3", 206},
			{"a condition", "GET", "stored/dir/f", "If-None-Match", `"` + sum("0123456789") + `"`, 304},
			{"two slashes", "GET", "stored//dir/f", "", "", 200},
			{"a listing", "GET", "stored/", "", "", 200},
			{"HEAD of a listing", "HEAD", "stored/dir/", "", "", 200},
			{"a page of a listing", "GET", "stored/?limit=1", "", "", 200},
			{"the redirect to a folder", "GET", "stored/dir", "", "", 301},
			{"the redirect to the root", "GET", "stored", "", "", 301},
			{"a path without a file", "GET", "stored/none", "", "", 404},
			{"published metadata", "GET", "published/index.html", "", "", 200},
			{"the index of a folder", "GET", "published/", "", "", 200},
			{"a file that is passed through", "GET", "published/g", "", "", 200},
			{"a file fetched on demand", "GET", "on_demand/f", "", "", 200},
			{"a streamed file", "GET", "streamed/f", "", "", 200},
			{"HEAD of a streamed file", "HEAD", "streamed/f", "", "", 200},
			{"a range of a streamed file", "GET", "streamed/f", "Range", "bytes=0-1", 206},
			{"a content handler", "GET", "own/hello", "", "", 200},
			{"a content handler with a file", "GET", "own/by-id/" + file.String(), "", "", 200},
			{"the listing of a plugin", "GET", "own/", "", "", 200},
			{"the list of checkpoints", "GET", "cp/", "", "", 200},
			{"no checkpoint", "GET", "cp/20200101T000000Z/", "", "", 404},
		}
		for _, token := range []string{"nonsense", "panic", "sesame"} {
			for _, tt := range tests {
				want := map[string]int{"nonsense": 403, "panic": 500, "sesame": tt.status}[token]
				header := []string{"Token", token}
				if tt.header != "" {
					header = append(header, tt.header, tt.value)
				}
				got := s.do(tt.method, "/pulp/content/"+tt.path, header...)
				if got.StatusCode != want {
					t.Errorf("%s with token %s: %s %s = %d, want %d", tt.name, token, tt.method, tt.path, got.StatusCode, want)
				}
				if token == "sesame" {
					continue
				}
				if strings.ContainsAny(got.body, "AG<") || got.Header.Get("X-PULP-ARTIFACT-SIZE") != "" ||
					got.Header.Get("Etag") != "" || got.Header.Get("Location") != "" {
					t.Errorf("%s with token %s shows %v %q", tt.name, token, got.Header, got.body)
				}
				if n := up.requests.Load(); n != 0 {
					t.Fatalf("%s with token %s: the remote was asked", tt.name, token)
				}
			}
		}
		s.drain()
	})
}

func TestGuardBeforeObjectStorage(t *testing.T) { //nolint:paralleltest // fakeS3 sets the environment
	s := newSite(t, sqlite(t), &siteOptions{
		store: fakeS3(t), storeOpt: &storage.Options{BeforeSign: s3storage.BeforeSign},
	})
	s.protect(s.distribute("x", s.tree("f", "F")), "sesame")
	for _, method := range []string{"GET", "HEAD"} {
		got := s.do(method, "/pulp/content/x/f", "Token", "nonsense")
		if got.StatusCode != 403 || got.Header.Get("Location") != "" {
			t.Errorf("%s without access = %d, %v", method, got.StatusCode, got.Header)
		}
	}
	if got := s.get("/pulp/content/x/f", "Token", "sesame"); got.StatusCode != 302 {
		t.Errorf("GET = %d, want 302", got.StatusCode)
	}
}

// A guard that does not answer refuses the request, whether or not it heeds its context.
func TestGuardTimeout(t *testing.T) {
	each(t, &siteOptions{Options: content.Options{GuardTimeout: 20 * time.Millisecond}}, func(t *testing.T, s *site) {
		s.protect(s.distribute("x", s.tree("f", "F")), "sesame")
		released := make(chan struct{})
		defer close(released)
		for _, token := range []string{"heeds", "hangs"} {
			ctx := context.WithValue(t.Context(), release{}, released)
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/pulp/content/x/f", http.NoBody)
			r.Header.Set("Token", token)
			w := httptest.NewRecorder()
			s.app.ServeHTTP(w, r)
			if w.Code != 503 || strings.Contains(w.Body.String(), "F") {
				t.Errorf("a guard that %s: %d %q, want 503", token, w.Code, w.Body)
			}
		}
	})
}

// A client that leaves ends the wait for the guard.
func TestClientLeavesTheGuard(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	s.protect(s.distribute("x", s.tree("f", "F")), "sesame")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/pulp/content/x/f", http.NoBody)
	r.Header.Set("Token", "heeds")
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != http.ErrAbortHandler || w.Body.Len() > 0 { //nolint:errorlint // a panic, not an error
			t.Errorf("ServeHTTP panicked with %v after %q, want http.ErrAbortHandler", p, w.Body)
		}
	}()
	s.app.ServeHTTP(w, r)
}

func TestGuardsThatAskOthers(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		d := s.distribute("x", s.tree("f", "F"))
		leaf := s.protect(d, "sesame")
		next := func(times int) *Next {
			n := &Next{Times: times}
			n.Name = uniqueName()
			s.must(nexts.Create(t.Context(), s.db, n))
			return n
		}
		point := func(from *Next, to models.Row) {
			from.Other = new(to.PulpID())
			s.must(nexts.Update(t.Context(), s.db, from, "other"))
		}
		outer, inner := next(1), next(1)
		point(outer, inner)
		point(inner, leaf)
		s.guard(d, outer.ID)
		want := func(name, token string, status int) {
			t.Helper()
			if got := s.get("/pulp/content/x/f", "Token", token); got.StatusCode != status {
				t.Errorf("%s: GET = %d %q, want %d", name, got.StatusCode, got.body, status)
			}
		}
		want("all permit", "sesame", 200)
		want("the last refuses", "nonsense", 403)
		want("the last panics", "panic", 500)
		point(inner, outer)
		want("a cycle", "sesame", 500)
		point(inner, inner)
		want("a guard that asks itself", "sesame", 500)
		many := next(10)
		point(many, leaf)
		point(outer, many)
		want("ten times", "sesame", 200)
		tens, more := next(4), next(3)
		point(more, many)
		point(tens, more)
		s.guard(d, tens.ID)
		want("more than a hundred", "sesame", 500)
		gone := next(1)
		point(gone, leaf)
		s.guard(d, gone.ID)
		s.must(guards.Delete(t.Context(), s.db, models.RefOf(leaf)))
		want("a guard that was deleted", "sesame", 500)
	})
}

// A guard sees what the content app would serve.
func TestGuardSeesTheSource(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		r := s.tree("f", "F") // version 1
		plain, bare := s.distribute("plain", r), s.distribute("bare", nil)
		l := &Limit{Number: 1}
		l.Name = "limit"
		s.must(limits.Create(t.Context(), s.db, l))
		s.guard(plain, l.ID)
		s.guard(bare, l.ID)
		want := func(path string, status int, body string) {
			t.Helper()
			if got := s.get("/pulp/content/" + path); got.StatusCode != status || got.body != body {
				t.Errorf("GET %s = %d %q, want %d %q", path, got.StatusCode, got.body, status, body)
			}
		}
		want("plain/f", 200, "F")
		want("bare/f", 403, `403: nothing at "f"`)
		u, _ := s.unit("g", new("G"))
		v := s.version(r, u)
		want("plain/g", 403, `403: version 2 at "g"`)
		want("plain/none/", 403, `403: version 2 at "none/"`)
		want("plain", 403, `403: version 2 at ""`)
		l.Number = 2
		s.must(limits.Update(t.Context(), s.db, l, "number"))
		s.publish(v, true)
		want("plain/g", 200, "G")
	})
}

// Routes of plugins ask the guard themselves.
func TestGuardedRoute(t *testing.T) {
	o := &siteOptions{Options: content.Options{Routes: []content.Route{{
		Pattern: "/simple/{path...}",
		Mount: func(a *content.App) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				req, err := a.Guarded(r, r.PathValue("path"))
				if err != nil {
					a.WriteError(w, r, err)
					return
				}
				source, err := req.Source(r.Context())
				if err != nil {
					a.WriteError(w, r, err)
					return
				}
				if err := req.Ask(r.Context(), *req.Distribution.AsDistribution().ContentGuardID); err == nil {
					w.WriteHeader(http.StatusTeapot)
				}
				fmt.Fprintf(w, "%s %q %d", req.Distribution.AsDistribution().BasePath, req.Path, source.Number)
			})
		},
	}}}}
	each(t, o, func(t *testing.T, s *site) {
		s.protect(s.distribute("a/b", s.tree("f", "F")), "sesame")
		s.protect(s.distribute("empty", nil), "sesame")
		for _, tt := range []struct {
			path, token string
			status      int
			body        string
		}{
			{"a/b/dir/f", "sesame", 200, `a/b "dir/f" 1`},
			{"a/b", "sesame", 200, `a/b "" 1`},
			{"a/b/f", "nonsense", 403, "403: Not with nonsense."},
			{"a/b/f", "", 401, "401: Who are you?"},
			{"a/b/f", "panic", 500, "500: Internal Server Error"},
			{"a", "sesame", 404, "404: Not Found"},
			{"a/b/", "sesame", 404, "404: Not Found"},
			{"", "sesame", 404, "404: Not Found"},
			{
				"empty/f", "sesame", 404,
				"404: Distribution is not pointing to a publication, repository, repository version, or remote.",
			},
		} {
			got := s.get("/simple/"+tt.path, "Token", tt.token)
			if got.StatusCode != tt.status || got.body != tt.body {
				t.Errorf("GET %s with %q = %d %q, want %d %q", tt.path, tt.token, got.StatusCode, got.body, tt.status, tt.body)
			}
		}
	})
}
