package download_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Whatever goes wrong, neither the error nor the log nor the text for clients contains a secret.
func TestNoSecretInErrors(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	closed := httptest.NewServer(http.HandlerFunc(fine))
	closed.Close()
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, closed.URL+"/x?signature="+secret, http.StatusFound)
		case "/status":
			w.Header().Set("Set-Cookie", "session="+secret)
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, secret)
		case "/garbage":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 twohundred "+secret+"\r\n\r\n")
				conn.Close()
			}
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	dns := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "mirror.example", IsNotFound: true}
	}
	q := "?token=" + secret + "&" + secret
	slow := func(context.Context, string, string) (net.Conn, error) {
		return nil, context.DeadlineExceeded
	}
	tlsSrv := serveTLS(t, http.HandlerFunc(fine), nil)
	tests := []struct {
		name, url, code, message string
		cfg                      download.Config
	}{
		{"credentials in URL", "http://u:" + secret + "@x/", "", "must not contain credentials", download.Config{}},
		{"unreadable URL", "http://u:" + secret + "@x y/", "", "cannot be parsed", download.Config{}},
		{"timeout", "http://mirror.example/" + q, "PLP0005", "timeout while", download.Config{DialContext: slow}},
		{"unknown authority", tlsSrv.URL + q, "PLP0026", "is not accepted: x509: certificate signed by", download.Config{}},
		{"refused connection", closed.URL + q, "PLP0027", "failed or was cut", download.Config{}},
		{"refused after redirect", srv.URL + "/redirect" + q, "PLP0027", "failed or was cut", download.Config{}},
		{"status", srv.URL + "/status" + q, "PLP0025", "answered 500 Internal", download.Config{}},
		{"cut", srv.URL + "/cut" + q, "PLP0027", "failed or was cut", download.Config{}},
		{"no TLS", strings.Replace(srv.URL, "http:", "https:", 1) + q, "PLP0026", "the TLS connection", download.Config{}},
		{"unknown host", "http://mirror.example/" + q, "PLP0008", "cannot be resolved", download.Config{DialContext: dns}},
		{"proxy away", srv.URL + "/x" + q, "PLP0027", "failed or was cut", download.Config{ProxyURL: closed.URL}},
		{"socks proxy away", srv.URL + "/x" + q, "PLP0027", "failed or was cut", download.Config{
			ProxyURL: "socks5://" + closed.Listener.Addr().String(),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			tt.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			tt.cfg.Username, tt.cfg.Password = "user", secret
			tt.cfg.Headers = http.Header{"X-Token": {secret}}
			if tt.cfg.ProxyURL != "" {
				tt.cfg.ProxyUsername, tt.cfg.ProxyPassword = "proxy", secret
			}
			_, err := newClient(t, tt.cfg).Stream(t.Context(), &download.Request{URL: tt.url}, &memory{})
			if err == nil {
				t.Fatal("Stream succeeded")
			}
			if got := pulperr.Code(err); got != tt.code {
				t.Errorf("Stream = %v (code %q), want code %q", err, got, tt.code)
			}
			for where, text := range map[string]string{
				"error": err.Error(), "log": log.String(), "message": pulperr.Message(err),
			} {
				if strings.Contains(text, secret) || strings.Contains(text, "aHVudGVyMg") {
					t.Errorf("%s contains the secret: %s", where, text)
				}
			}
			if text := pulperr.Message(err); !strings.Contains(text, tt.message) {
				t.Errorf("Message = %q, want %q in it", text, tt.message)
			}
			if tt.code != "" && strings.Count(log.String(), "\n") != 3 {
				t.Errorf("log = %s, want 3 lines", log.String())
			}
		})
	}
}

func TestGarbageAnswer(t *testing.T) {
	t.Parallel()
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "SSH-2.0-hello\r\n")
			conn.Close()
		}
	}))
	_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &memory{})
	wantKind(t, err, pulperr.Unavailable)
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://u:p@example.com/a?b=c&d=&e#f": "https://example.com/a?b=…&d=…&…",
		"https://example.com/a%2Fb":            "https://example.com/a%2Fb",
		"http://exa mple.com":                  "(unreadable URL)",
	} {
		if got := download.Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}
