package download_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/pulperr"
)

// httpProxy is a forward proxy for plain requests and CONNECT; it wants the credentials if there are any.
type httpProxy struct {
	credentials string // value of Proxy-Authorization; empty for none
	used        atomic.Int32
}

func (p *httpProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.used.Add(1)
	if p.credentials != "" && r.Header.Get("Proxy-Authorization") != p.credentials {
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		out := r.Clone(r.Context())
		out.RequestURI = ""
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		return
	}
	far, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connected\r\n\r\n")
	join(near, far)
}

// join copies both ways until both ends are closed.
func join(a, b net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(a, b); a.Close() })
	wg.Go(func() { _, _ = io.Copy(b, a); b.Close() })
	wg.Wait()
}

func TestHTTPProxy(t *testing.T) {
	t.Parallel()
	const credentials = "Basic cHJveHk6c2VjcmV0" // proxy:secret
	plain := serve(t, http.HandlerFunc(fine))
	secure := httptest.NewTLSServer(http.HandlerFunc(fine))
	t.Cleanup(secure.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	for _, url := range []string{plain.URL, secure.URL} {
		for _, tt := range []struct {
			name, want, user, password string
			kind                       pulperr.Kind
		}{
			{"open", "", "", "", 0},
			{"right credentials", credentials, "proxy", "secret", 0},
			{"wrong credentials", credentials, "proxy", "hunter2", pulperr.Unauthorized},
			{"no credentials", credentials, "", "", pulperr.Unauthorized},
		} {
			t.Run(strings.SplitN(url, ":", 2)[0]+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				proxy := &httpProxy{credentials: tt.want}
				proxySrv := serve(t, proxy)
				c := newClient(t, download.Config{
					SkipTLSVerify: true, ProxyURL: proxySrv.URL, ProxyUsername: tt.user, ProxyPassword: tt.password,
				})
				t.Cleanup(func() { c.Close() })
				var sink memory
				_, err := c.Stream(t.Context(), &download.Request{URL: url}, &sink)
				c.Close()
				if got := proxy.used.Load(); got != 1 {
					t.Errorf("proxy was asked %d times, want 1", got)
				}
				if tt.kind == 0 {
					if err != nil || sink.String() != "fine" {
						t.Fatalf("Stream = %v with %q", err, sink.String())
					}
					return
				}
				wantKind(t, err, tt.kind)
				if pulperr.Code(err) != "PLP0010" {
					t.Errorf("Stream = %v (code %q), want PLP0010", err, pulperr.Code(err))
				}
				if text := pulperr.Message(err); !strings.Contains(text, "407 Proxy Authentication Required") {
					t.Errorf("a client is told %q", text)
				}
			})
		}
	}
}

func TestSOCKS5Proxy(t *testing.T) {
	t.Parallel()
	srv := serve(t, http.HandlerFunc(fine))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	asked := make(chan string, 1)
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		who, err := socks5(conn, srv.Listener.Addr().String())
		if err != nil {
			t.Errorf("socks5: %v", err)
		}
		asked <- who
	})
	c := newClient(t, download.Config{
		ProxyURL: "socks5h://" + l.Addr().String(), ProxyUsername: "proxy", ProxyPassword: "secret",
	})
	var sink memory
	_, err = c.Stream(t.Context(), &download.Request{URL: "http://mirror.invalid/a"}, &sink)
	c.Close()
	l.Close()
	wg.Wait()
	if err != nil || sink.String() != "fine" {
		t.Fatalf("Stream = %v with %q", err, sink.String())
	}
	if got, want := <-asked, "proxy:secret@mirror.invalid:80"; got != want {
		t.Errorf("the proxy was asked for %q, want %q", got, want)
	}
}

// socks5 serves one connection with user and password, leads it to addr, and returns what was asked for.
func socks5(conn net.Conn, addr string) (string, error) {
	r := bufio.NewReader(conn)
	field := func() (string, error) {
		n, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		b := make([]byte, n)
		_, err = io.ReadFull(r, b)
		return string(b), err
	}
	if _, err := r.Discard(1); err != nil { // version
		return "", err
	}
	if _, err := field(); err != nil { // methods
		return "", err
	}
	_, _ = conn.Write([]byte{5, 2}) // user and password
	if _, err := r.Discard(1); err != nil {
		return "", err
	}
	user, err := field()
	if err != nil {
		return "", err
	}
	password, err := field()
	if err != nil {
		return "", err
	}
	_, _ = conn.Write([]byte{1, 0})
	if _, err := r.Discard(4); err != nil { // version, connect, reserved, by name
		return "", err
	}
	host, err := field()
	if err != nil {
		return "", err
	}
	var port [2]byte
	if _, err := io.ReadFull(r, port[:]); err != nil {
		return "", err
	}
	far, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	join(conn, far)
	return fmt.Sprintf("%s:%s@%s:%d", user, password, host, binary.BigEndian.Uint16(port[:])), nil
}
