package content_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
)

// body is text of n bytes in which no two places look alike.
func body(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%08d ", i)
	}
	return b.String()[:n]
}

// upstream is a remote that counts its requests.
type upstream struct {
	*httptest.Server
	requests atomic.Int64
}

func newUpstream(t testing.TB, h http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

// sends answers with text, and with its length if told says so.
func sends(text string, told bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if told {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		} else {
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, text)
	}
}

const large = 300 << 10

func TestOnDemand(t *testing.T) {
	text := body(large)
	for _, tt := range []struct {
		name   string
		policy models.Policy
		told   bool
		expect *hashlib.Expect
		text   string
		etag   bool // the first answer has an ETag
	}{
		{"digest and size", models.OnDemand, true, promise(text), text, true},
		{"digest", models.OnDemand, true, &hashlib.Expect{Digests: hashlib.SHA256Hex(sum(text))}, text, true},
		{"digest, no length", models.OnDemand, false, &hashlib.Expect{Digests: hashlib.SHA256Hex(sum(text))}, text, true},
		{"nothing known", models.OnDemand, true, nil, text, false},
		{"nothing known, no length", models.OnDemand, false, nil, text, false},
		{"immediate", models.Immediate, true, promise(text), text, true},
		{"streamed", models.Streamed, true, promise(text), text, true},
		{"streamed, no length", models.Streamed, false, nil, text, false},
		{"small", models.OnDemand, true, promise("small"), "small", true},
		{"small, no length", models.OnDemand, false, nil, "small", false},
		{"empty", models.OnDemand, true, promise(""), "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, nil, func(t *testing.T, s *site) {
				u := newUpstream(t, sends(tt.text, tt.told))
				file := s.absent(tt.policy, u.URL, tt.expect)
				got := s.get("/pulp/content/x/f")
				if got.StatusCode != 200 || got.err != nil || got.body != tt.text {
					t.Fatalf("GET = %d, %d bytes, %v", got.StatusCode, len(got.body), got.err)
				}
				// A length that is not told in advance is known if the fetch is over by the time of the answer.
				if got.ContentLength != int64(len(tt.text)) && (tt.told || got.ContentLength != -1) {
					t.Errorf("Content-Length = %d", got.ContentLength)
				}
				if h := got.Header.Get("Etag"); tt.etag && h != `"`+sum(tt.text)+`"` || !tt.etag && h != "" {
					t.Errorf("Etag = %q", h)
				}
				s.drain()
				saved := s.artifactOf(file)
				stored, err := s.store.Exists(t.Context(), storage.ArtifactKey(sum(tt.text)))
				s.must(err)
				want := tt.policy != models.Streamed
				if stored != want || want != (saved.ArtifactID != nil && saved.SHA256 == sum(tt.text)) {
					t.Errorf("stored = %v, saved = %+v; want %v", stored, saved, want)
				}
				if want {
					if got := s.get("/pulp/content/x/f"); got.body != tt.text || got.Header.Get("Etag") != `"`+sum(tt.text)+`"` {
						t.Errorf("second GET = %d, %d bytes", got.StatusCode, len(got.body))
					}
				}
				if n := u.requests.Load(); n != 1 {
					t.Errorf("%d upstream requests, want 1", n)
				}
			})
		})
	}
}

// A bad upstream never makes an answer that looks finished.
func TestBadUpstream(t *testing.T) {
	text := body(large)
	wrong := text[:len(text)-1] + "X"
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text[:200<<10])
		panic(http.ErrAbortHandler)
	}
	cutChunked := func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, text[:200<<10])
		panic(http.ErrAbortHandler)
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	digest := &hashlib.Expect{Digests: hashlib.SHA256Hex(sum(text))}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		expect  *hashlib.Expect
		status  int  // of the answer; 200 is an answer that is cut, or 502 if the fault came before the client
		failed  bool // the remote artifact was marked
	}{
		{"not found", status(404), promise(text), 404, false},
		{"server error", status(500), promise(text), 502, false},
		{"wrong digest", sends(wrong, true), promise(text), 200, true},
		{"wrong digest, no length", sends(wrong, false), digest, 200, true},
		{"small with a wrong digest", sends(text[:99], true), digest, 502, true},
		{"too short", sends(text[:large-1], false), promise(text), 200, true},
		{"shorter than promised", sends(text[:large-1], true), promise(text), 502, true},
		{"longer than promised", sends(text+"X", true), promise(text), 502, true},
		{"too long", sends(text+"X", false), promise(text), 200, true},
		{"cut", cut, promise(text), 200, false},
		{"cut, nothing known", cut, nil, 200, false},
		{"cut in chunks, nothing known", cutChunked, nil, 200, false},
		{"unreachable", nil, promise(text), 502, false},
	} {
		for _, policy := range []models.Policy{models.OnDemand, models.Streamed} {
			t.Run(tt.name+", "+string(policy), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, sqlite(t), nil)
				url := "http://127.0.0.1:1/"
				if tt.handler != nil {
					url = newUpstream(t, tt.handler).URL
				}
				file := s.absent(policy, url, tt.expect)
				got, err := s.try(http.MethodGet, "/pulp/content/x/f")
				switch {
				case err != nil:
					if tt.status != 200 {
						t.Errorf("GET: %v, want %d", err, tt.status)
					}
				case got.StatusCode != tt.status && got.StatusCode != 502:
					t.Errorf("GET = %d, want %d", got.StatusCode, tt.status)
				case got.StatusCode == 200 && got.err == nil:
					t.Errorf("GET = %d bytes and no error", len(got.body))
				case got.StatusCode == 200 && !strings.HasPrefix(text, got.body):
					t.Errorf("GET = other bytes than the upstream's")
				}
				s.drain()
				if f := s.artifactOf(file); f.ArtifactID != nil {
					t.Errorf("an artifact was saved: %+v", f)
				}
				for a, err := range s.store.List(t.Context(), "") {
					t.Errorf("%s is in the store, %v", a.Key, err)
				}
				sources, err := lookup.RemoteSources(t.Context(), s.db, file, time.Now().Add(-time.Minute))
				s.must(err)
				if failed := len(sources) == 0; failed != tt.failed {
					t.Errorf("marked as failed = %v, want %v", failed, tt.failed)
				}
			})
		}
	}
}

// The client has read almost all when the digest turns out to be wrong.
func TestWrongDigestAfterDelivery(t *testing.T) {
	text := body(large)
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprintf("told %v", told), func(t *testing.T) {
			each(t, nil, func(t *testing.T, s *site) {
				seen := make(chan struct{})
				u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
					if told {
						w.Header().Set("Content-Length", fmt.Sprint(len(text)))
					}
					_, _ = io.WriteString(w, text[:large-1])
					w.(http.Flusher).Flush()
					<-seen
					_, _ = io.WriteString(w, "X")
				})
				file := s.absent(models.OnDemand, u.URL, &hashlib.Expect{Digests: hashlib.SHA256Hex(sum(text))})
				resp, err := client.Get(s.url + "/pulp/content/x/f")
				s.must(err)
				defer resp.Body.Close()
				one := make([]byte, 200<<10)
				_, err = io.ReadFull(resp.Body, one)
				s.must(err)
				close(seen)
				rest, err := io.ReadAll(resp.Body)
				if err == nil || len(one)+len(rest) >= large {
					t.Errorf("told %v: the client got %d bytes, %v", told, len(one)+len(rest), err)
				}
				s.drain()
				sources, err := lookup.RemoteSources(t.Context(), s.db, file, time.Now().Add(-time.Minute))
				if len(sources) > 0 || s.artifactOf(file).ArtifactID != nil {
					t.Errorf("told %v: sources = %v, %v", told, sources, err)
				}
			})
		})
	}
}

func TestCooldown(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		u := newUpstream(t, sends("wrong", true))
		file := s.absent(models.OnDemand, u.URL, promise("right"))
		for _, want := range []int{502, 404, 404} {
			if got := s.get("/pulp/content/x/f"); got.StatusCode != want {
				t.Errorf("GET = %d, want %d", got.StatusCode, want)
			}
		}
		if n := u.requests.Load(); n != 1 {
			t.Errorf("%d upstream requests, want 1", n)
		}
		good := newUpstream(t, sends("right", true))
		s.remote(models.OnDemand, file, good.URL, promise("right"))
		if got := s.get("/pulp/content/x/f"); got.body != "right" {
			t.Errorf("GET with a second remote = %d %q", got.StatusCode, got.body)
		}
	})
}

func TestNextRemote(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	text := body(large)
	gone := newUpstream(t, http.NotFound)
	file := s.absent(models.OnDemand, gone.URL, promise(text))
	s.remote(models.Streamed, file, newUpstream(t, sends("short", true)).URL, promise(text))
	good := newUpstream(t, sends(text, true))
	s.remote(models.OnDemand, file, good.URL, promise(text))
	if got := s.get("/pulp/content/x/f"); got.body != text {
		t.Errorf("GET = %d, %d bytes", got.StatusCode, len(got.body))
	}
	s.drain()
	if s.artifactOf(file).ArtifactID == nil {
		t.Error("nothing was saved")
	}
}

// A body that was cut is continued for the client, and never begun anew.
func TestResume(t *testing.T) {
	t.Parallel()
	text := body(large)
	for _, ranges := range []bool{true, false} {
		t.Run(fmt.Sprintf("ranges %v", ranges), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sqlite(t), nil)
			var first atomic.Bool
			u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Etag", `"v1"`)
				switch {
				case first.CompareAndSwap(false, true):
					w.Header().Set("Content-Length", fmt.Sprint(len(text)))
					_, _ = io.WriteString(w, text[:200<<10])
					panic(http.ErrAbortHandler)
				case ranges:
					http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
				default:
					_, _ = io.WriteString(w, text)
				}
			})
			file := s.absent(models.OnDemand, u.URL, promise(text))
			sources, err := lookup.RemoteSources(t.Context(), s.db, file, time.Now())
			s.must(err)
			rm, err := remotes.Get(t.Context(), s.db, models.Ref[Remote]{ID: sources[0].RemoteID})
			s.must(err)
			rm.MaxRetries = new(2)
			s.must(remotes.Update(t.Context(), s.db, rm, "max_retries"))
			got := s.get("/pulp/content/x/f")
			if ranges && (got.err != nil || got.body != text) {
				t.Errorf("GET = %d bytes, %v; want all", len(got.body), got.err)
			}
			if !ranges && (got.err == nil || !strings.HasPrefix(text, got.body)) {
				t.Errorf("GET = %d bytes, %v; want a cut answer", len(got.body), got.err)
			}
			s.drain()
			if saved := s.artifactOf(file).ArtifactID != nil; saved != ranges {
				t.Errorf("saved = %v, want %v", saved, ranges)
			}
		})
	}
}

func TestSingleFlight(t *testing.T) {
	text := body(large)
	for _, policy := range []models.Policy{models.OnDemand, models.Streamed} {
		t.Run(string(policy), func(t *testing.T) {
			each(t, nil, func(t *testing.T, s *site) {
				const clients = 50
				reading := make(chan struct{})
				u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", fmt.Sprint(len(text)))
					_, _ = io.WriteString(w, text[:200<<10])
					w.(http.Flusher).Flush()
					<-reading // until all clients have had the first bytes
					_, _ = io.WriteString(w, text[200<<10:])
				})
				s.absent(policy, u.URL, promise(text))
				var begun, done sync.WaitGroup
				begun.Add(clients)
				for i := range clients {
					done.Go(func() {
						resp, err := http.Get(s.url + "/pulp/content/x/f")
						if err != nil {
							begun.Done()
							t.Error(err)
							return
						}
						defer resp.Body.Close()
						one := make([]byte, 1)
						_, err = io.ReadFull(resp.Body, one)
						begun.Done()
						rest, err2 := io.ReadAll(resp.Body)
						if err := errors.Join(err, err2); err != nil || string(one)+string(rest) != text {
							t.Errorf("client %d: %d bytes, %v", i, len(rest)+1, err)
						}
					})
				}
				begun.Wait()
				close(reading)
				done.Wait()
				if n := u.requests.Load(); n != 1 {
					t.Errorf("%d upstream requests, want 1", n)
				}
			})
		})
	}
}

// However the clients of one file come and go, the remote is asked once.
func TestSingleFlightAfterItsEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	u := newUpstream(t, sends("small", true))
	s.absent(models.OnDemand, u.URL, promise("small"))
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() {
			if got, err := s.try(http.MethodGet, "/pulp/content/x/f"); err != nil || got.body != "small" {
				t.Errorf("GET = %v %v", got, err)
			}
		})
	}
	clients.Wait()
	if n := u.requests.Load(); n != 1 {
		t.Errorf("%d upstream requests, want 1", n)
	}
}

func TestClientLeaves(t *testing.T) {
	text := body(large)
	for _, policy := range []models.Policy{models.OnDemand, models.Streamed} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sqlite(t), nil)
			more, ended := make(chan struct{}), make(chan bool, 1)
			u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(text)))
				_, _ = io.WriteString(w, text[:200<<10])
				w.(http.Flusher).Flush()
				select {
				case <-more:
					_, err := io.WriteString(w, text[200<<10:])
					ended <- err == nil
				case <-r.Context().Done():
					ended <- false
				}
			})
			file := s.absent(policy, u.URL, promise(text))
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/pulp/content/x/f", http.NoBody)
			s.must(err)
			resp, err := client.Do(req)
			s.must(err)
			_, err = io.ReadFull(resp.Body, make([]byte, 1000))
			s.must(err)
			cancel()
			resp.Body.Close()
			if policy == models.Streamed {
				if <-ended {
					t.Error("the download went on for nobody")
				}
			} else {
				close(more)
			}
			s.drain()
			if saved := s.artifactOf(file).ArtifactID != nil; saved != (policy == models.OnDemand) {
				t.Errorf("saved = %v", saved)
			}
		})
	}
}

func TestHeadOfAbsentFile(t *testing.T) {
	t.Parallel()
	text := body(large)
	s := newSite(t, sqlite(t), nil)
	u := newUpstream(t, sends(text, true))
	s.absent(models.OnDemand, u.URL, promise(text))
	for _, tt := range []struct {
		name, method string
		header       []string
		status       int
	}{
		{"HEAD", "HEAD", nil, 200},
		{"HEAD of a range", "HEAD", []string{"Range", "bytes=0-9"}, 206},
		{"GET of what the client has", "GET", []string{"If-None-Match", `"` + sum(text) + `"`}, 304},
		{"GET of another version", "GET", []string{"If-Match", `"x"`}, 412},
		{"GET behind the end", "GET", []string{"Range", fmt.Sprintf("bytes=%d-", large)}, 416},
	} {
		got := s.do(tt.method, "/pulp/content/x/f", tt.header...)
		if got.StatusCode != tt.status {
			t.Errorf("%s = %d, want %d", tt.name, got.StatusCode, tt.status)
		}
		if tt.status == 200 && (got.ContentLength != large || got.Header.Get("Etag") != `"`+sum(text)+`"`) {
			t.Errorf("%s: %v", tt.name, got.Header)
		}
		if tt.status == 416 && got.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", large) {
			t.Errorf("%s: %v", tt.name, got.Header)
		}
	}
	if n := u.requests.Load(); n != 0 {
		t.Errorf("%d upstream requests, want 0", n)
	}
}

func TestHeadOfUnknownFile(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{true, false} {
		s := newSite(t, sqlite(t), nil)
		u := newUpstream(t, sends("some text", told))
		s.absent(models.OnDemand, u.URL, nil)
		got := s.do(http.MethodHead, "/pulp/content/x/f")
		want := int64(-1)
		if told {
			want = 9
		}
		// The whole may have come by the time of the answer.
		if got.StatusCode != 200 || got.ContentLength != want && got.ContentLength != 9 {
			t.Errorf("HEAD = %d, Content-Length %d, want %d", got.StatusCode, got.ContentLength, want)
		}
		s.drain()
		if got := s.get("/pulp/content/x/f"); got.body != "some text" || u.requests.Load() != 1 {
			t.Errorf("GET = %q after %d upstream requests", got.body, u.requests.Load())
		}
	}
}

func TestMissingBytes(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		r := s.repo()
		u, file := s.unit("f", new("precious"))
		s.version(r, u)
		s.distribute("x", r)
		key := storage.ArtifactKey(sum("precious"))
		s.must(s.store.Delete(t.Context(), key))
		if got := s.get("/pulp/content/x/f"); got.StatusCode != 404 {
			t.Errorf("GET without a remote = %d, want 404", got.StatusCode)
		}
		before := s.artifactOf(file)
		// The remote has other bytes in the meantime, and nobody wrote down their digest.
		bad := newUpstream(t, sends("precieux", true))
		s.remote(models.OnDemand, file, bad.URL, nil)
		if got := s.get("/pulp/content/x/f"); got.StatusCode != 502 {
			t.Errorf("GET from a remote with other bytes = %d, want 502", got.StatusCode)
		}
		s.remote(models.OnDemand, file, newUpstream(t, sends("precious", true)).URL, nil)
		if got := s.get("/pulp/content/x/f"); got.body != "precious" {
			t.Errorf("GET = %d %q", got.StatusCode, got.body)
		}
		s.drain()
		if there, err := s.store.Exists(t.Context(), key); err != nil || !there {
			t.Errorf("Exists = %v, %v", there, err)
		}
		if after := s.artifactOf(file); *after.ArtifactID != *before.ArtifactID {
			t.Errorf("artifact %v became %v", before.ArtifactID, after.ArtifactID)
		}
	})
}

// The clients get their bytes even if they cannot be stored.
func TestBrokenStore(t *testing.T) {
	t.Parallel()
	text := body(large)
	for _, op := range []storage.Op{storage.OpCreate, storage.OpWrite, storage.OpCommit} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			o := &siteOptions{storeOpt: &storage.Options{Intercept: func(_ context.Context, now storage.Op, _ string) error {
				if now == op {
					return errors.New("disk full")
				}
				return nil
			}}, store: t.TempDir()}
			s := newSite(t, sqlite(t), o)
			u := newUpstream(t, sends(text, true))
			file := s.absent(models.OnDemand, u.URL, promise(text))
			if got := s.get("/pulp/content/x/f"); got.body != text || got.err != nil {
				t.Errorf("GET = %d, %d bytes, %v", got.StatusCode, len(got.body), got.err)
			}
			s.drain()
			if f := s.artifactOf(file); f.ArtifactID != nil {
				t.Errorf("saved: %+v", f)
			}
		})
	}
}

func TestNoRoomForTheSpool(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*siteOptions{
		"no such directory": {Options: content.Options{WorkDir: t.TempDir() + "/gone"}},
		"none":              {noWorkDir: true},
	} {
		s := newSite(t, sqlite(t), o)
		s.absent(models.OnDemand, newUpstream(t, sends("text", true)).URL, promise("text"))
		if got := s.get("/pulp/content/x/f"); got.StatusCode != 503 {
			t.Errorf("%s: GET = %d", name, got.StatusCode)
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	o := &siteOptions{}
	o.WorkDir = t.TempDir()
	s := newSite(t, sqlite(t), o)
	text := body(large)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text[:200<<10])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	file := s.absent(models.OnDemand, u.URL, promise(text))
	resp, err := client.Get(s.url + "/pulp/content/x/f")
	s.must(err)
	defer resp.Body.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	if err := s.app.Drain(ctx); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Drain = %v, want the reason why ctx was done", err)
	}
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the client got %d bytes and no error", len(got))
	}
	if f := s.artifactOf(file); f.ArtifactID != nil {
		t.Errorf("saved: %+v", f)
	}
	if got := s.get("/pulp/content/x/f"); got.StatusCode != 503 {
		t.Errorf("GET after Close = %d, want 503", got.StatusCode)
	}
	if left, err := os.ReadDir(o.WorkDir); err != nil || len(left) > 0 {
		t.Errorf("left in the work directory: %v %v", left, err)
	}
}
