package webserver_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	some, err := webserver.AllowHosts("Pulp.example", ".inner.example", "192.0.2.1", "[2001:db8::1]")
	if err != nil {
		t.Fatal(err)
	}
	all, err := webserver.AllowHosts("*")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		host              string
		some, all, nobody bool
	}{
		{"pulp.example", true, true, false},
		{"PULP.example.:8080", true, true, false},
		{"a.pulp.example", false, true, false},
		{"inner.example", true, true, false},
		{"a.b.inner.example:1", true, true, false},
		{"notinner.example", false, true, false},
		{"192.0.2.1:80", true, true, false},
		{"[2001:db8::1]", true, true, false},
		{"[2001:DB8::1]:24817", true, true, false},
		{"2001:db8::1", false, true, false},
		{"", false, true, false},
		{"localhost", false, true, true},
		{"a.localhost:1", false, true, true},
		{"127.0.0.1:1", false, true, true},
		{"[::1]:1", false, true, true},
		{"evillocalhost", false, true, false},
		{"localhost:80@evil.example", false, true, false},
		{"pulp.example:80@evil.example", false, true, false},
		{"pulp.example:", false, true, false},
		{"pulp.example:99999", false, true, false},
		{"pulp.example/", false, true, false},
		{"pulp.example..", false, true, false},
		{"[pulp.example]", false, true, false},
		{"[::1", false, true, false},
		{strings.Repeat("a", 254), false, true, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = test.host
		for name, is := range map[string]struct {
			hosts *webserver.Hosts
			want  bool
		}{"some": {some, test.some}, "all": {all, test.all}, "nil": {nil, test.nobody}} {
			err := is.hosts.Check(r)
			if (err == nil) != is.want || err != nil && (!errors.Is(err, pulperr.Invalid) || pulperr.Message(err) == "") {
				t.Errorf("host %q with %s: %v, want it allowed: %v", test.host, name, err, is.want)
			}
		}
	}
}

// Who reached an address may call the server by it.
func TestHostThatTheClientConnectedTo(t *testing.T) {
	t.Parallel()
	for addr, host := range map[string]string{"192.0.2.7:80": "192.0.2.7:8080", "[2001:db8::7]:80": "[2001:db8::7]"} {
		local, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local)))
		none, err := webserver.AllowHosts()
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if err := none.Check(r); err != nil {
			t.Errorf("connected to %s, asked for %s: %v", addr, host, err)
		}
		if r.Host = "192.0.2.8"; none.Check(r) == nil {
			t.Errorf("connected to %s, and may ask for %s", addr, r.Host)
		}
	}
}

func TestAllowHostsNamesFaults(t *testing.T) {
	t.Parallel()
	_, err := webserver.AllowHosts("a.example", "http://b.example", "c.example:80", "", ".", "[::1", "*.d.example")
	if !errors.Is(err, pulperr.Invalid) {
		t.Fatalf("AllowHosts = %v, want Invalid", err)
	}
	for _, want := range []string{`"http://b.example"`, `"c.example:80"`, `""`, `"."`, `"[::1"`, `"*.d.example"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}
