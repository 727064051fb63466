//go:build linux

package proxyconf_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/certguard"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/webserver"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// foo is the value of a header that needs quotes and escapes.
const foo = `a "b" 'c' ; {d} # 100% %{e}s <f>`

// echo is what a handler of the plugin got.
type echo struct {
	App, URI, Host, Scheme, Address string
	Header                          http.Header
}

func echoes(app string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(echo{
			app, r.RequestURI, r.Host, webserver.SchemeOf(r), webserver.AddressOf(r), r.Header,
		})
	})
}

// testPlugin has routes of both apps, overrides and snippets.
type testPlugin struct {
	next chan struct{} // an element lets a stream of events go on
}

func (p *testPlugin) plugin(snippets bool) *pulpcore.Plugin {
	api := func(pattern string, h http.Handler) rest.Route {
		return rest.Route{Pattern: pattern, Handler: h, Allow: rest.Anybody}
	}
	plugin := &pulpcore.Plugin{
		Name: "proxytest", Version: "1",
		API: []rest.Route{
			api("/proxytest-echo/", echoes("api")), api("GET /proxytest/{name}/meta", echoes("api")),
			api("/proxytest-odd%20%22$%7Bx%7D;/", echoes("api")), api("/proxytest-own/", echoes("api")),
			api("POST /proxytest/upload", http.HandlerFunc(upload)), api("GET /proxytest/big", http.HandlerFunc(download)),
			api("POST /proxytest/small", http.HandlerFunc(small)), api("GET /proxytest/events", http.HandlerFunc(p.events)),
		},
		Content: []content.Route{
			{Pattern: "/proxytest/{name}/blob", Handler: echoes("content")},
			{Pattern: "/proxytest-files/{path...}", Handler: echoes("content")},
		},
		ProxyOverrides: []proxyconf.Override{
			{Pattern: "/proxytest-echo/special/", Headers: map[string]string{"FOO": foo, "Accept-Language": ""}},
			{Pattern: "/proxytest-echo/special/more/", Headers: map[string]string{"X-More": "yes"}},
			{Pattern: "/proxytest/{name}/blob", Headers: map[string]string{"X-Blob": "yes"}},
		},
	}
	if snippets {
		plugin.ProxySnippets = proxyconf.Snippets{
			Nginx: "location /proxytest-own/ {\n    proxy_set_header Host $http_host;\n" +
				"    proxy_set_header OWN \"snippet\";\n    proxy_pass http://pulp-api;\n}\n",
			Apache: "<Location \"/proxytest-own/\">\n    ProxyPass \"http://${pulp-api}/proxytest-own/\"\n" +
				"    RequestHeader set OWN \"snippet\"\n</Location>\n",
		}
	}
	return plugin
}

// upload reads a body and says how long it was.
func upload(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, n)
}

const bigSize = 256 << 20

func download(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(bigSize))
	piece := make([]byte, 64<<10)
	for range bigSize / len(piece) {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// small refuses bodies of more than a kilobyte.
func small(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<10)); err != nil {
		http.Error(w, "too large for the app", http.StatusRequestEntityTooLarge)
	}
}

// events sends an event, and the next one when the test says so.
func (p *testPlugin) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 3 {
		fmt.Fprintf(w, "data: %d\n\n", i)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-p.next:
		case <-r.Context().Done():
			return
		}
	}
}

// bench is an App behind a proxy. API and content app have a server each.
type bench struct {
	*proxy
	*testPlugin

	app    *pulptest.App
	issuer *holder

	stops     map[string]func() // of the servers of the apps
	addresses map[string]string // of these servers
	http      *http.Client
}

// newBench starts an App and a proxy: with TLS and TCP between all, or without TLS and with Unix sockets to the apps.
func newBench(t *testing.T, p *program, encrypted bool) *bench {
	t.Helper()
	b := &bench{
		testPlugin: &testPlugin{next: make(chan struct{})}, stops: map[string]func(){}, addresses: map[string]string{}, issuer: issue(t, "authority", nil),
	}
	own := b.plugin(encrypted || p.kind == proxyconf.Nginx)
	opts := []settings.Option{settings.Value("TRUSTED_PROXIES", []string{"127.0.0.1", "unix"})}
	b.app = pulptest.NewWith(t, opts, file.Plugin(), certguard.Plugin(), own)
	dir := folder(t)
	o := proxyconf.Options{Dir: dir, Modules: modules()}
	o.API = b.serve(t, "api", dir, encrypted, b.app.API())
	o.Content = b.serve(t, "content", dir, encrypted, b.app.Content())
	if encrypted {
		server := issue(t, "127.0.0.1", nil)
		o.TLS = &proxyconf.TLS{
			Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), AskClients: true,
		}
		must(t, os.WriteFile(o.TLS.Certificate, server.certificate(), 0o644)) //nolint:gosec // for the server's user
		must(t, os.WriteFile(o.TLS.Key, server.privateKey(t), 0o644))         //nolint:gosec // a key of this test
	}
	b.proxy = p.start(t, dir, encrypted, func(listen string) string {
		with := o
		with.Listen = listen
		conf, err := pulpcore.ProxyConfig(b.app.Settings(), &with, file.Plugin(), certguard.Plugin(), own)
		must(t, err)
		return render(t, conf, p.kind)
	})
	b.http = b.client()
	return b
}

func render(t *testing.T, conf *proxyconf.Config, server proxyconf.Server) string {
	t.Helper()
	var text strings.Builder
	must(t, conf.Write(&text, server))
	return text.String()
}

// serve serves a handler and returns the address of the server.
func (b *bench) serve(t *testing.T, name, dir string, tcp bool, h http.Handler) string {
	t.Helper()
	address := "unix:" + filepath.Join(dir, name+".sock")
	if tcp {
		address = freeAddress(t)
	}
	b.serveAt(t, name, address, h)
	return address
}

func (b *bench) serveAt(t *testing.T, name, address string, h http.Handler) {
	t.Helper()
	b.addresses[name] = address
	network := "tcp"
	socket, unix := strings.CutPrefix(address, "unix:")
	if unix {
		network, address = "unix", socket
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	must(t, err)
	if unix {
		must(t, os.Chmod(socket, 0o666)) //nolint:gosec // for the user of the proxy
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.app.ServeOn(ctx, l, h) }()
	stopped := false
	b.stops[name] = func() {
		if !stopped {
			stopped = true
			cancel()
			must(t, <-ended)
		}
	}
	t.Cleanup(b.stops[name])
}

// answer is what the proxy sent.
type answer struct {
	*http.Response
	text string
}

// do sends a request with headers, by name and value.
func (b *bench) do(client *http.Client, method, path, body string, headers ...string) *answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(body))
	must(b.t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(r)
	must(b.t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	must(b.t, err)
	return &answer{res, string(raw)}
}

func (b *bench) get(path string, headers ...string) *answer {
	b.t.Helper()
	return b.do(b.http, http.MethodGet, path, "", headers...)
}

// echo sends a request to a handler that returns it.
func (b *bench) echo(path string, headers ...string) echo {
	b.t.Helper()
	res := b.get(path, headers...)
	var e echo
	if res.StatusCode != http.StatusOK || json.Unmarshal([]byte(res.text), &e) != nil {
		b.t.Fatalf("GET %s = %s %s, want an echo", path, res.Status, res.text)
	}
	return e
}

// holder has a certificate and its key.
type holder struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate, signed by an issuer or, without one, by itself as an authority.
func issue(t *testing.T, name string, by *holder) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	h := &holder{key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		IsCA: by == nil, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if by == nil {
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, nil
		by = &holder{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	must(t, err)
	h.cert, err = x509.ParseCertificate(der)
	must(t, err)
	return h
}

func (h *holder) certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.cert.Raw})
}

func (h *holder) privateKey(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(h.key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (h *holder) tls() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{h.cert.Raw}, PrivateKey: h.key}
}
