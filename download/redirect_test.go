package download_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/pulperr"
)

// recorder keeps the headers of each request and passes it on.
type recorder struct {
	next http.HandlerFunc

	mu   sync.Mutex
	seen []http.Header
	host string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.seen = append(r.seen, req.Header.Clone())
	r.host = req.Host
	r.mu.Unlock()
	r.next(w, req)
}

func (r *recorder) last(t *testing.T) http.Header {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) == 0 {
		t.Fatal("no request came")
	}
	return r.seen[len(r.seen)-1]
}

func fine(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }

var secretHeaders = []string{"Authorization", "Cookie", "X-Token", "X-Request-Token"}

func secretClient(t *testing.T) *download.Client {
	t.Helper()
	return newClient(t, download.Config{
		Username: "user", Password: "hunter2", SkipTLSVerify: true,
		Headers: http.Header{"Cookie": {"a=b"}, "x-token": {"t"}, "User-Agent": {"mirror/1"}, "Accept": {"text/plain"}},
	})
}

func stream(t *testing.T, c *download.Client, url string) (*download.Result, error) {
	t.Helper()
	var sink memory
	return c.Stream(t.Context(), &download.Request{URL: url, Header: http.Header{"X-Request-Token": {"r"}}}, &sink)
}

func TestCredentialsStayHome(t *testing.T) {
	t.Parallel()
	away := &recorder{next: fine}
	awaySrv := serve(t, away)
	var homeSrv, tlsSrv *httptest.Server
	home := &recorder{}
	home.next = func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"/away": awaySrv.URL + "/x", "/within": "/end", "/there-and-back": awaySrv.URL + "/back",
			"/away-twice": awaySrv.URL + "/again",
		}[r.URL.Path]
		if to == "" {
			fine(w, r)
			return
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
	homeSrv = serve(t, home)
	away.next = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			http.Redirect(w, r, homeSrv.URL+"/end", http.StatusMovedPermanently)
			return
		}
		if r.URL.Path == "/again" {
			http.Redirect(w, r, "/x", http.StatusFound)
			return
		}
		fine(w, r)
	}
	tlsSrv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, homeSrv.URL+"/end", http.StatusFound)
	}))
	t.Cleanup(tlsSrv.Close)
	tests := []struct {
		name, from, to string
		end            *recorder
		kept           bool
	}{
		{"no redirect", homeSrv.URL + "/end", homeSrv.URL + "/end", home, true},
		{"same host", homeSrv.URL + "/within", homeSrv.URL + "/end", home, true},
		{"another port", homeSrv.URL + "/away", awaySrv.URL + "/x", away, false},
		{"twice on another port", homeSrv.URL + "/away-twice", awaySrv.URL + "/x", away, false},
		{"back again", homeSrv.URL + "/there-and-back", homeSrv.URL + "/end", home, false},
		{"from https to http", tlsSrv.URL, homeSrv.URL + "/end", home, false},
	}
	for _, tt := range tests { // one after the other: they share the recorders
		res, err := stream(t, secretClient(t), tt.from)
		if err != nil || res.URL != tt.to {
			t.Fatalf("%s: Stream = %+v, %v, want URL %q", tt.name, res, err, tt.to)
		}
		h := tt.end.last(t)
		for _, name := range secretHeaders {
			if got := h.Get(name) != ""; got != tt.kept {
				t.Errorf("%s: %s sent: %v, want %v", tt.name, name, got, tt.kept)
			}
		}
		if h.Get("Accept") != "text/plain" || !strings.HasSuffix(h.Get("User-Agent"), ", mirror/1") {
			t.Errorf("%s: Accept %q, User-Agent %q", tt.name, h.Get("Accept"), h.Get("User-Agent"))
		}
	}
}

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	rec := &recorder{next: fine}
	srv := serve(t, rec)
	headers := http.Header{
		"user-agent": {"mirror/1"}, "Host": {"virtual.example"}, "Accept-Encoding": {"gzip"}, "Range": {"bytes=1-"},
		"X-Mode": {"client"},
	}
	c := newClient(t, download.Config{Username: "only-user", Headers: headers})
	headers.Set("X-Mode", "changed later")
	var sink memory
	req := &download.Request{URL: srv.URL, Header: http.Header{"x-mode": {"request"}, "If-Range": {"x"}}}
	if _, err := c.Stream(t.Context(), req, &sink); err != nil {
		t.Fatalf("Stream = %v", err)
	}
	h := rec.last(t)
	want := map[string]string{
		"Accept-Encoding": "identity", "Range": "", "If-Range": "", "X-Mode": "request",
		"Authorization": "Basic b25seS11c2VyOg==",
	}
	for name, value := range want {
		if got := strings.Join(h.Values(name), "|"); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	agent := h.Get("User-Agent")
	if !strings.HasPrefix(agent, "pulpcore-go/") || !strings.HasSuffix(agent, "), mirror/1") {
		t.Errorf("User-Agent = %q", agent)
	}
	if rec.host != "virtual.example" {
		t.Errorf("Host = %q, want virtual.example", rec.host)
	}
	if _, ok := headers["User-Agent"]; ok || len(headers) != 5 {
		t.Errorf("the caller's headers were changed: %v", headers)
	}
}

func TestRefusedRedirects(t *testing.T) {
	t.Parallel()
	targets := map[string]string{
		"/loop": "/loop", "/file": "file:///etc/passwd", "/ftp": "ftp://example.com/x", "/nohost": "http:///x",
		"/credentials": "http://u:hunter2@example.com/", "/unreadable": "http://u:hunter2@exa mple.com/%zz",
	}
	for path, want := range map[string]string{
		"/loop": "more than 10 redirects", "/file": "not an http", "/ftp": "not an http", "/nohost": "not an http",
		"/credentials": "contains credentials", "/unreadable": "cannot be parsed",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			rec := &recorder{next: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", targets[r.URL.Path])
				w.WriteHeader(http.StatusFound)
			}}
			srv := serve(t, rec)
			_, err := stream(t, secretClient(t), srv.URL+path)
			wantKind(t, err, pulperr.Unavailable)
			if _, ok := errors.AsType[*download.RedirectError](err); !ok || !strings.Contains(err.Error(), want) {
				t.Errorf("Stream = %v, want a RedirectError with %q", err, want)
			}
			if text := pulperr.Message(err); !strings.Contains(text, want) {
				t.Errorf("Message = %q, want the reason in it", text)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q contains a password", err)
			}
			if got := len(rec.seen); path == "/loop" && got != 11 || path != "/loop" && got != 1 {
				t.Errorf("requests = %d", got)
			}
		})
	}
}

// A signed target may have expired when the body was cut: each attempt begins at the first URL.
func TestContinueAfterRedirect(t *testing.T) {
	t.Parallel()
	data := testData(50_000)
	end := &source{data: data, tag: `"v1"`, framing: byLength, cuts: []int{20_000}}
	endSrv := serve(t, end)
	start := &recorder{next: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, endSrv.URL+"/signed?token=1", http.StatusFound)
	}}
	startSrv := serve(t, start)
	var sink memory
	_, err := newClient(t, download.Config{}).Stream(t.Context(),
		&download.Request{URL: startSrv.URL, Expect: expectAll(data)}, &sink)
	if err != nil || sink.resets != 0 || len(start.seen) != 2 {
		t.Fatalf("Stream = %v with %d resets, %d requests", err, sink.resets, len(start.seen))
	}
	if got := end.seen()[1].Header.Get("Range"); got != "bytes=20000-" {
		t.Errorf("Range = %q", got)
	}
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		from, to string
		same     bool
	}{
		{"http://a/x", "http://a/y", true},
		{"http://a/x", "http://A:80/y", true},
		{"https://a:443/x", "https://a/y", true},
		{"http://a/x", "https://a/x", true}, // to a safer scheme
		{"http://a:80/x", "https://a:443/x", true},
		{"https://a/x", "http://a/x", false},
		{"http://a:8080/x", "https://a:8443/x", false},
		{"http://a:8080/x", "http://a:8081/x", false},
		{"http://a/x", "http://b.a/x", false},
		{"http://a.b/x", "http://b/x", false},
		{"https://a/x", "https://a.evil/x", false},
	}
	for _, tt := range tests {
		from, err := url.Parse(tt.from)
		to, err2 := url.Parse(tt.to)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if got := download.SameOrigin(from, to); got != tt.same {
			t.Errorf("sameOrigin(%s, %s) = %v, want %v", tt.from, tt.to, got, tt.same)
		}
	}
}
