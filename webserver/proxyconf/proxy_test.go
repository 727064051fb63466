//go:build linux

package proxyconf_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

var uploadSize = flag.Int64("upload", 0, "bytes of the large uploads; 0 means enough to find a limit of the proxy")

const apiRoot = "/pulp/api/v3/"

// TestProxy sends requests to an App through both servers, with TLS and without.
func TestProxy(t *testing.T) {
	each(t, func(t *testing.T, p *program) {
		for _, encrypted := range []bool{true, false} {
			t.Run(map[bool]string{true: "TLS", false: "Unix sockets"}[encrypted], func(t *testing.T) {
				b := newBench(t, p, encrypted)
				for _, step := range []struct {
					name string
					run  func(t *testing.T)
				}{
					{"the client", b.testClient},
					{"a trusted client", b.testTrustedClient},
					{"overrides", b.testOverrides},
					{"routes", b.testRoutes},
					{"links", b.testLinks},
					{"files", b.testFiles},
					{"events", b.testEvents},
					{"large bodies", b.testLargeBodies},
					{"certificates", b.testCertificates},
					{"errors", b.testErrors},
				} {
					t.Run(step.name, step.run)
				}
			})
		}
	})
}

// testClient sends headers that only a proxy may set.
func (b *bench) testClient(t *testing.T) {
	forged := []string{
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "gopher", "X-Forwarded-Host", "evil.example", "Forwarded",
		"for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "X-Forwarded-Port", "6", "X-CLIENT-CERT", "forged", "Remote-User", "admin",
		"X-Remote-User", "admin", "FOO", "forged", "X-More", "forged", "X-Blob", "forged", "X-Own", "kept",
	}
	for _, path := range []string{"/proxytest-echo/x", "/proxytest-files/x", "/proxytest/x/meta", "/proxytest-own/x"} {
		e := b.echo(path, forged...)
		scheme, _, _ := strings.Cut(b.base, ":")
		if e.URI != path || e.Host != b.host || e.Scheme != scheme {
			t.Errorf("%s arrives as %s at host %s by %s, want %s by %s", path, e.URI, e.Host, e.Scheme, b.host, scheme)
		}
		if e.Address != clientAddress || e.Header.Get("X-Own") != "kept" {
			t.Errorf("%s comes from %s with %v, want %s", path, e.Address, e.Header, clientAddress)
		}
		for i := 0; i < len(forged)-2; i += 2 {
			if v := e.Header.Get(forged[i]); v != "" {
				t.Errorf("%s has %s: %s, which the client forged", path, forged[i], v)
			}
		}
	}
}

// testTrustedClient forges an address from one that the apps trust, which another user of the proxy's machine has.
func (b *bench) testTrustedClient(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own server
	}}
	defer client.CloseIdleConnections()
	res := b.do(client, http.MethodGet, "/proxytest-echo/x", "", "X-Forwarded-For", "6.6.6.6")
	var e echo
	must(t, json.Unmarshal([]byte(res.text), &e))
	if e.Address != "127.0.0.1" {
		t.Errorf("the request comes from %s, want 127.0.0.1", e.Address)
	}
}

func (b *bench) testOverrides(t *testing.T) {
	for _, tt := range []struct{ path, app, foo, more, blob, language string }{
		{"/proxytest-echo/special/", "api", foo, "", "", ""},
		{"/proxytest-echo/special/x/y", "api", foo, "", "", ""},
		{"/proxytest-echo/special/more/x", "api", foo, "yes", "", ""},
		{"/proxytest-echo/%73pecial/more/", "api", foo, "yes", "", ""},
		{"/proxytest-echo/specially", "api", "", "", "", "de"},
		{"/proxytest-echo/x/special/", "api", "", "", "", "de"},
		{"/proxytest/any/blob", "content", "", "", "yes", "de"},
		{"/proxytest/any/meta", "api", "", "", "", "de"},
	} {
		e := b.echo(tt.path, "Accept-Language", "de", "foo", "forged")
		got := []string{
			e.App, e.Header.Get("Foo"), e.Header.Get("X-More"), e.Header.Get("X-Blob"), e.Header.Get("Accept-Language"),
		}
		if want := []string{tt.app, tt.foo, tt.more, tt.blob, tt.language}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s = %q, want %q", tt.path, got, want)
		}
	}
	if e := b.echo("/proxytest-own/x"); b.base[4] == 's' && e.Header.Get("Own") != "snippet" {
		t.Errorf("the snippet's header is %q", e.Header.Get("Own"))
	}
}

// testRoutes asks for paths of both apps. The handlers have the slash at the end added, so the proxy must not.
func (b *bench) testRoutes(t *testing.T) {
	for path, app := range map[string]string{
		"/proxytest/a/blob": "content", "/proxytest/a/meta": "api", "/proxytest-files/a/b": "content",
		"/proxytest-odd%20%22$%7Bx%7D;/a": "api", "/proxytest/%22/blob": "content",
	} {
		if e := b.echo(path + "?a=%2F&b=+"); e.App != app || e.URI != path+"?a=%2F&b=+" {
			t.Errorf("%s goes to %s as %s, want %s", path, e.App, e.URI, app)
		}
	}
	for _, path := range []string{
		"/pulp/content", "/pulp/content/none/x", "/proxytest-echo", "/proxytest-files", "/pulp/api/v3/status", "/pulp/api/v3/status/",
		"/pulp", "/elsewhere", "/proxytest/a/none",
	} {
		res, direct := b.get(path), b.app.Do(t, http.MethodGet, path, pulptest.AsNobody)
		if res.StatusCode != direct.Status || res.Header.Get("Location") != direct.Header.Get("Location") {
			t.Errorf("GET %s = %s %v, want %d %v", path, res.Status, res.Header, direct.Status, direct.Header)
		}
	}
}

// testLinks looks at links with the scheme and the host that the client used.
func (b *bench) testLinks(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		b.app.Do(t, http.MethodPost, apiRoot+"repositories/file/file/", pulptest.JSON(map[string]string{"name": name}))
	}
	b.authorized(t)
	res := b.get(apiRoot+"repositories/file/file/?limit=1", "Authorization", basic)
	if want := `"next":"` + b.base + apiRoot; res.StatusCode != http.StatusOK || !strings.Contains(res.text, want) {
		t.Errorf("the list is %s %s, want %s", res.Status, res.text, want)
	}
}

const basic = "Basic YWRtaW46YSBsb25nIHBhc3N3b3Jk" // admin:a long password

func (b *bench) authorized(t *testing.T) {
	t.Helper()
	must(t, b.app.SetAdminPassword(t.Context(), "a long password"))
}

const text = "0123456789abcdefghijklmnopqrstuvwxyz"

// distribute serves a file, with a guard if there is one, and returns its path.
func (b *bench) distribute(t *testing.T, name, guard string) string {
	t.Helper()
	do := func(path string, opts ...pulptest.RequestOption) *pulptest.Response {
		t.Helper()
		return b.app.Do(t, http.MethodPost, apiRoot+path, opts...)
	}
	repo := do("repositories/file/file/", pulptest.JSON(map[string]string{"name": name})).Want(http.StatusCreated).Href()
	b.app.Await(t, do("content/file/files/", pulptest.File("file", "f", text), pulptest.Field("relative_path", "a b+c.txt"),
		pulptest.Field("repository", repo)))
	fields := map[string]any{"name": name, "base_path": name, "repository": repo}
	b.app.Await(t, do("publications/file/file/", pulptest.JSON(map[string]string{"repository": repo})))
	if guard != "" {
		fields["content_guard"] = guard
	}
	b.app.Await(t, do("distributions/file/file/", pulptest.JSON(fields)))
	return "/pulp/content/" + name + "/a%20b+c.txt"
}

func (b *bench) testFiles(t *testing.T) {
	path := b.distribute(t, "plain", "")
	whole := b.get(path)
	tag := whole.Header.Get("Etag")
	if whole.StatusCode != http.StatusOK || whole.text != text || tag == "" {
		t.Fatalf("GET %s = %s %v %q", path, whole.Status, whole.Header, whole.text)
	}
	for _, tt := range []struct {
		name, method string
		headers      []string
		status       int
		want         string
	}{
		{"a range", "GET", []string{"Range", "bytes=2-5"}, 206, text[2:6]},
		{"the end", "GET", []string{"Range", "bytes=-3"}, 206, text[len(text)-3:]},
		{"a range of this version", "GET", []string{"Range", "bytes=2-5", "If-Range", tag}, 206, text[2:6]},
		{"a range of another", "GET", []string{"Range", "bytes=2-5", "If-Range", `"other"`}, 200, text},
		{"no range", "GET", []string{"Range", "bytes=999-"}, 416, "invalid range: failed to overlap\n"},
		{"the same", "GET", []string{"If-None-Match", tag}, 304, ""},
		{"the head", "HEAD", nil, 200, ""},
	} {
		res := b.do(b.http, tt.method, path, "", tt.headers...)
		if res.StatusCode != tt.status || res.text != tt.want {
			t.Errorf("%s = %s %q, want %d %q", tt.name, res.Status, res.text, tt.status, tt.want)
		}
		if tt.method == http.MethodHead && res.ContentLength != int64(len(text)) {
			t.Errorf("the head has the length %d", res.ContentLength)
		}
	}
	res := b.get(path, "Range", "bytes=0-1,10-12")
	_, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	must(t, err)
	parts := multipart.NewReader(strings.NewReader(res.text), params["boundary"])
	for _, want := range []string{text[:2], text[10:13]} {
		part, err := parts.NextPart()
		must(t, err)
		if got, err := io.ReadAll(part); err != nil || string(got) != want {
			t.Errorf("a part is %q, %v, want %q", got, err, want)
		}
	}
}

// testEvents reads each event before the next one is made.
func (b *bench) testEvents(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for events that the proxy keeps
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+"/proxytest/events", nil)
	must(t, err)
	res, err := b.http.Do(r)
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		lines.Scan()
		if want := fmt.Sprintf("data: %d", i); lines.Text() != want {
			t.Fatalf("line %q, %v, want %q", lines.Text(), lines.Err(), want)
		}
		lines.Scan() // the empty line
		b.next <- struct{}{}
	}
	if lines.Scan() {
		t.Errorf("line %q after the end", lines.Text())
	}
}

// zeros is a reader without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// testLargeBodies sends and receives more than a proxy may keep.
func (b *bench) testLargeBodies(t *testing.T) {
	const bound = 64 << 20
	size := int64(128 << 20)
	switch {
	case *uploadSize > 0:
		size = *uploadSize
	case b.kind == proxyconf.Apache && b.base[4] != 's': // without TLS, which costs time
		size = 1<<30 + 1 // Apache itself has a limit of a gigabyte
	}
	began := time.Now()
	for name, length := range map[string]int64{"known length": size, "chunks": -1} {
		sent := size
		if length < 0 {
			sent = min(size, 64<<20)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.base+"/proxytest/upload", io.LimitReader(zeros{}, sent))
		must(t, err)
		r.ContentLength = length
		res, err := b.http.Do(r)
		must(t, err)
		got, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if string(got) != fmt.Sprint(sent) {
			t.Errorf("upload of %s: %s %s, want %d", name, res.Status, got, sent)
		}
	}
	t.Logf("upload of %d bytes: %s", size, time.Since(began))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.base+"/proxytest/big", nil)
	must(t, err)
	res, err := b.http.Do(r)
	must(t, err)
	defer res.Body.Close()
	// The proxy has the client wait for the rest, or the rest wait for the client.
	_, err = io.CopyN(io.Discard, res.Body, 1<<20)
	must(t, err)
	left, err := io.Copy(io.Discard, res.Body)
	if err != nil || left != bigSize-1<<20 {
		t.Errorf("download: %d bytes, %v", left, err)
	}
	if memory, files := b.memory(), b.files(); memory > bound || files > bound {
		t.Errorf("the proxy used %d bytes of memory and %d of files, want %d at most", memory, files, bound)
	} else {
		t.Logf("memory %d KiB, files %d KiB", memory>>10, files>>10)
	}
}

// testCertificates has a guard ask for a certificate.
func (b *bench) testCertificates(t *testing.T) {
	guard := b.app.Do(t, http.MethodPost, apiRoot+"contentguards/certguard/x509/", pulptest.JSON(map[string]string{
		"name": "guard", "ca_certificate": string(b.issuer.certificate()),
	})).Want(http.StatusCreated).Href()
	path := b.distribute(t, "guarded", guard)
	own := issue(t, "client", b.issuer)
	right, wrong := b.client(own.tls()), b.client(issue(t, "client", issue(t, "another", nil)).tls())
	forged := strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B").Replace(string(own.certificate()))
	want := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[b.base[4] == 's']
	for _, tt := range []struct {
		name   string
		client *http.Client
		header string
		status int
	}{
		{"the right certificate", right, "", want},
		{"that, and another in the header", right, "nonsense", want},
		{"a wrong one", wrong, "", http.StatusForbidden},
		{"a wrong one, and the right one in the header", wrong, forged, http.StatusForbidden},
		{"none", b.http, "", http.StatusForbidden},
		{"none, and the right one in the header", b.http, forged, http.StatusForbidden},
	} {
		var headers []string
		if tt.header != "" {
			headers = []string{"X-CLIENT-CERT", tt.header}
		}
		if res := b.do(tt.client, http.MethodGet, path, "", headers...); res.StatusCode != tt.status {
			t.Errorf("%s: %s %s, want %d", tt.name, res.Status, res.text, tt.status)
		}
	}
}

// testErrors looks at refusals of an app, and at an app that is down.
func (b *bench) testErrors(t *testing.T) {
	body := strings.Repeat("x", 100<<10)
	res := b.do(b.http, http.MethodPost, "/proxytest/small", body)
	if res.StatusCode != http.StatusRequestEntityTooLarge || res.text != "too large for the app\n" {
		t.Errorf("a large body = %s %s, want the app's 413", res.Status, res.text)
	}
	b.stops["content"]()
	res = b.get("/pulp/content/")
	if res.StatusCode != http.StatusBadGateway && res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without the content app: %s, want 502 or 503", res.Status)
	}
	if e := b.echo("/proxytest-echo/x"); e.App != "api" {
		t.Errorf("without the content app the API answers %v", e)
	}
	b.serveAt(t, "content", b.addresses["content"], b.app.Content())
	if e := b.echo("/proxytest-files/x"); e.App != "content" {
		t.Errorf("with the content app again %v answers", e)
	}
}
