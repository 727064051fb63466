package rest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
)

// TestUnknownMethods asks with methods that HTTP has and that it has not.
func TestUnknownMethods(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	for path, want := range map[string]string{
		"repositories/file/file/": "GET, POST, HEAD, OPTIONS", b.repo(): "DELETE, GET, PATCH, PUT, HEAD, OPTIONS",
		"docs/api.json": "GET, HEAD",
	} {
		for _, method := range []string{"FOO", "TRACE", "PROPFIND", "get"} {
			a := b.do(method, path, nil).want(http.StatusMethodNotAllowed)
			if got := a.header.Get("Allow"); got != want || !strings.Contains(string(a.body), `"detail"`) {
				t.Errorf("%s %s: Allow = %q with %s, want %q", method, path, got, a.body, want)
			}
		}
	}
}

// TestCutForms sends forms that end before their last boundary.
func TestCutForms(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	const part = "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n"
	asParts := func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=b") }
	for _, body := range []string{"x", "--b", "--b\r\n", part, part + "a", part + "a\r\n", part + "a\r\n--b", part + "a\r\n--b\r\n"} {
		a := b.do("POST", "repositories/file/file/", body, asParts)
		if a.status != 400 || !strings.Contains(string(a.body), "cut off") {
			t.Errorf("the form %q = %d: %s, want 400", body, a.status, a.body)
		}
	}
	b.do("POST", "repositories/file/file/", part+"a\r\n--b--", asParts).want(201)
}

// TestKeysThatAreTooLong gives units keys that no index holds: the request is refused, not its task.
func TestKeysThatAreTooLong(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := setupPy(t, url)
		a := b.do("POST", "content/py/notes/", map[string]any{"text": strings.Repeat("x", 2001)}).want(400)
		diff(t, a.body, `{"text": ["Ensure this field has no more than 2000 characters."]}`)
		b.completed("POST", "content/py/notes/", map[string]any{"text": strings.Repeat("x", 2000)})
	})
}

// TestListsAreNeverNull leaves out a list whose field is documented as an array.
func TestListsAreNeverNull(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		guard := b.create("contentguards/file/header/", map[string]any{"name": "g", "header_name": "h"})
		for _, path := range []string{guard, "contentguards/file/header/"} {
			if a := b.do("GET", path, nil).want(200); !strings.Contains(string(a.body), `"words":[]`) {
				t.Errorf("GET %s = %s, want an empty list of words", path, a.body)
			}
		}
	})
}

// TestVersionsBelongToTheirRepository asks for versions below another repository than theirs.
func TestVersionsBelongToTheirRepository(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		one := b.repo()
		b.unit("a", "one", "repository", one)
		other := b.create("repositories/file/file/", map[string]any{"name": "other"})
		list := strings.Fields(hrefs(b.do("GET", one+"versions/", nil)))
		slices.Sort(list)
		if want := []string{one + "versions/0/", one + "versions/1/"}; !slices.Equal(list, want) {
			t.Errorf("versions = %v, want %v", list, want)
		}
		if got := hrefs(b.do("GET", other+"versions/", nil)); got != other+"versions/0/" {
			t.Errorf("versions of the other repository = %s, want its own only", got)
		}
		for _, method := range []string{"GET", "DELETE"} {
			b.do(method, other+"versions/1/", nil).want(404)
			b.do(method, strings.Replace(other, "/file/file/", "/file/none/", 1)+"versions/0/", nil).want(404)
		}
		b.do("GET", strings.Replace(other, other[len(other)-13:], nowhere[len(nowhere)-12:]+"/", 1)+"versions/", nil).want(404)
	})
}
