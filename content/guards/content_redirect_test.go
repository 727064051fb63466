package guards_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/content/guards"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

func newRedirect(t testing.TB) *guards.ContentRedirect {
	t.Helper()
	g := &guards.ContentRedirect{}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestContentRedirect(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		made := &guards.ContentRedirect{}
		s.protect(made)
		// The guard that signs was read from the database, as in another process.
		g, err := guards.ContentRedirects.Get(t.Context(), s.db, models.RefOf(made))
		s.must(err)
		sign := func(target string, after time.Duration) string {
			signed, err := g.SignURL(target, time.Now().Add(after))
			s.must(err)
			return signed
		}
		const path = "/pulp/content/x/dir/a%20b"
		signed := sign(path+"?b=2&a=1", time.Hour)
		edit := func(change func(q url.Values)) string {
			u, err := url.Parse(signed)
			s.must(err)
			q := u.Query()
			change(q)
			u.RawQuery = q.Encode()
			return u.String()
		}
		set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
		shorten := func(q url.Values) { q.Set("validate_token", q.Get("validate_token")[:32]) }
		later := strconv.FormatInt(time.Now().Add(2*time.Hour).Unix(), 10)
		other := newRedirect(t)
		foreign, err := other.SignURL(path+"?b=2&a=1", time.Now().Add(time.Hour))
		s.must(err)
		const refused = "403: Access not authenticated"
		for _, tt := range []struct {
			name, target string
			status       int
			body         string
		}{
			{"signed", signed, 200, ""},
			{"an absolute URL", sign("https://pulp.example"+path, time.Hour), 200, ""},
			{"other escapes", strings.Replace(signed, "a%20b", "%61%20b", 1), 200, ""},
			{"another order", path + "?" + reversed(signed), 200, ""},
			{"expired", sign(path, -time.Second), 403, "403: Authentication expired"},
			{"expires now", sign(path, 0), 403, "403: Authentication expired"},
			{"no query", path, 403, refused},
			{"no token", edit(func(q url.Values) { q.Del("validate_token") }), 403, refused},
			{"no time", edit(func(q url.Values) { q.Del("expires") }), 403, refused},
			{"another time", edit(set("expires", later)), 403, refused},
			{"a time that is no number", edit(set("expires", "never")), 403, refused},
			{"two times", signed + "&expires=99999999999", 403, refused},
			{"two tokens", signed + "&validate_token=00", 403, refused},
			{"another path", strings.Replace(signed, "/dir/", "/dis/", 1), 403, refused},
			{"dots that lead back", strings.Replace(signed, "/dir/", "/dir/../dir/", 1), 404, ""},
			{"escaped dots that lead back", strings.Replace(signed, "/dir/", "/dir/%2e%2e/dir/", 1), 404, ""},
			{"an escaped slash", strings.Replace(signed, "/dir/", "/dir%2f", 1), 200, ""}, // the same path
			{"a percent sign that is escaped twice", strings.Replace(signed, "a%20b", "a%2520b", 1), 403, refused},
			{"two slashes behind the base path", strings.Replace(signed, "/x/", "/x//", 1), 403, refused},
			{"two slashes in the path", strings.Replace(signed, "/dir/", "/dir//", 1), 404, ""},
			{"a slash at the end", strings.Replace(signed, "a%20b", "a%20b/", 1), 403, refused},
			{"another letter case", strings.Replace(signed, "/dir/", "/DIR/", 1), 403, refused},
			{"a path above", strings.Replace(signed, "/dir/a%20b", "/", 1), 403, refused},
			{"another query", strings.Replace(signed, "a=1", "a=2", 1), 403, refused},
			{"more query", signed + "&c=3", 403, refused},
			{"less query", edit(func(q url.Values) { q.Del("a") }), 403, refused},
			{"a token of zeros", edit(set("validate_token", strings.Repeat("0", 64))), 403, refused},
			{"a short token", edit(shorten), 403, refused},
			{"an empty token", edit(set("validate_token", "")), 403, refused},
			{"a token that is not hexadecimal", edit(set("validate_token", "zz")), 403, refused},
			{"a query with a semicolon", signed + ";c=3", 403, refused},
			{"signed by another guard", foreign, 403, refused},
		} {
			s.want(tt.name, s.get(tt.target), tt.status, tt.body)
		}
		head := httptest.NewRecorder()
		s.app.ServeHTTP(head, httptest.NewRequestWithContext(t.Context(), http.MethodHead, signed, http.NoBody))
		s.want("HEAD", head, 200, "")
		head = httptest.NewRecorder()
		s.app.ServeHTTP(head, httptest.NewRequestWithContext(t.Context(), http.MethodHead, path, http.NoBody))
		s.want("HEAD that is not signed", head, 403, "")
		if strings.Contains(signed, g.Secret.Reveal()) || len(g.Secret.Reveal()) != 64 {
			t.Errorf("the URL %s shows the secret, or it is short", signed)
		}
		if g.Secret.Reveal() == other.Secret.Reveal() {
			t.Error("two guards have the same secret")
		}
		// An update leaves the secret as it is.
		g.Name = "renamed"
		s.must(guards.ContentRedirects.Update(t.Context(), s.db, g, "name"))
		s.want("after an update", s.get(signed), 200, "")
	})
}

func reversed(signed string) string {
	_, query, _ := strings.Cut(signed, "?")
	parts := strings.Split(query, "&")
	out := ""
	for _, p := range parts {
		out = p + "&" + out
	}
	return strings.TrimSuffix(out, "&")
}

func TestSignURLFaults(t *testing.T) {
	t.Parallel()
	g := newRedirect(t)
	for _, target := range []string{
		"", "https://example.com", ":", "/a?b=%zz", "/a?expires=1", "/a?validate_token=", "/a?b;c",
	} {
		if signed, err := g.SignURL(target, time.Now()); pulperr.KindOf(err) != pulperr.Invalid {
			t.Errorf("SignURL(%q) = %q, %v, want kind Invalid", target, signed, err)
		}
	}
	if _, err := new(guards.ContentRedirect).SignURL("/a", time.Now()); pulperr.KindOf(err) != pulperr.Internal {
		t.Errorf("SignURL without a secret = %v, want kind Internal", err)
	}
	if err := permit(t, new(guards.ContentRedirect), "/a?expires=99999999999&validate_token=", nil); err == nil {
		t.Error("a guard without a secret permitted a request")
	}
}

// What was signed passes, and nothing else does.
func FuzzContentRedirect(f *testing.F) {
	f.Add("/pulp/content/x/f", "a=1", "expires=99999999999&validate_token=00")
	f.Add("/a b", "", "?&=")
	f.Add("/a%2Fb", "q=%20+", "expires=&validate_token=&expires=")
	g := newRedirect(f)
	f.Fuzz(func(t *testing.T, path, query, forged string) {
		u := url.URL{Scheme: "http", Host: "h", Path: "/" + strings.TrimLeft(path, "/"), RawQuery: query}
		if err := permit(t, g, u.Path+"?"+forged, nil); err == nil {
			t.Errorf("the forged query %q passed", forged)
		}
		signed, err := g.SignURL(u.String(), time.Now().Add(time.Hour))
		if err != nil {
			return
		}
		if err := permit(t, g, signed, nil); err != nil {
			t.Errorf("Permit of %q = %v", signed, err)
		}
		// An empty parameter is none, and a fragment is not sent.
		added := !strings.Contains(signed, "#") && strings.Trim(forged, "&") != "" && !strings.HasPrefix(strings.TrimLeft(forged, "&"), "#")
		if err := permit(t, g, signed+"&"+forged, nil); err == nil && added {
			t.Errorf("%q passed with %q added", signed, forged)
		}
	})
}
