package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// reader lets every account read the repositories whose description names it, and sync them, and nothing else.
type reader struct{ asked func(string) }

func (a reader) Authorize(ctx context.Context, p *rest.Permission) error {
	if a.asked != nil {
		a.asked(fmt.Sprintf("%s %s %s %s", p.User.Username, p.Operation, p.Type, p.Field))
	}
	allowed := []string{
		"repositories_file_file_list", "repositories_file_file_read", "repositories_list",
		"repositories_file_file_versions_list", "repositories_file_file_versions_read", "repositories_file_file_rename",
		"repositories_file_file_set_label", "remotes_file_file_create", "distributions_file_file_create",
	}
	switch {
	case p.User.IsSuperuser:
		return nil
	case p.Field == "repository":
		return pulperr.Public(pulperr.Forbidden, "You may not distribute this repository.")
	case slices.Contains(allowed, p.Operation), p.Operation == "route /report/":
		return nil
	}
	return pulperr.Public(pulperr.Forbidden, "You may only read.")
}

func (reader) Visible(_ context.Context, p *rest.Permission) (*rest.Visible, error) {
	if p.User.IsSuperuser || !strings.HasPrefix(p.Operation, "repositories_") {
		return nil, nil
	}
	return &rest.Visible{
		Keys: "SELECT r.pulp_id FROM core_repository AS r WHERE r.description = ?", Args: []any{p.User.Username},
	}, nil
}

func TestAuthorizer(t *testing.T) {
	each(t, func(t *testing.T, root *bundle) {
		says := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
		b := setupOn(t, root.db, &rest.Options{Auth: actor("account"), Authorizer: reader{}, Routes: []rest.Route{
			{Pattern: "/report/", Handler: says}, {Pattern: "/closed/", Handler: says},
		}})
		const path = "repositories/file/file/"
		own := root.create(path, map[string]any{"name": "own", "description": "one"})
		other := root.create(path, map[string]any{"name": "other", "description": "two"})

		// Lists have what the account may see, and the hrefs of other rows lead nowhere.
		for _, list := range []string{path, "repositories/"} {
			a := b.do("GET", list, nil).want(200)
			if a.get("count") != 1.0 || !strings.Contains(string(a.body), own) || strings.Contains(string(a.body), other) {
				t.Errorf("GET %s = %s", list, a.body)
			}
		}
		for href, status := range map[string]int{own: 200, other: 404} {
			for _, at := range []string{href, href + "versions/", href + "versions/0/"} {
				b.do("GET", at, nil).want(status)
			}
			b.do("POST", href+"rename/", map[string]any{"name": "x" + href[len(href)-5:len(href)-1]}).want(status)
			b.do("POST", href+"set_label/", map[string]any{"key": "k", "value": "v"}).
				want(map[int]int{200: 201, 404: 404}[status])
		}

		// Everything that is not allowed is refused, with the authorizer's words.
		for _, at := range []struct{ method, path string }{
			{"POST", path},
			{"PATCH", own},
			{"DELETE", own},
			{"GET", "tasks/"},
			{"POST", own + "modify/"},
			{"GET", "artifacts/"},
			{"PUT", path},
			{"GET", "/closed/"},
		} {
			diff(t, b.do(at.method, at.path, map[string]any{}).want(403).body, `{"detail": "You may only read."}`)
		}
		b.do("GET", "/report/", nil).want(200)
		b.do("GET", "status/", nil).want(200)

		// A row that a field names is asked for, too: to distribute a repository is to read it.
		b.do("POST", "remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"}).want(201)
		diff(t, b.do("POST", "distributions/file/file/", map[string]any{"name": "d", "base_path": "d", "repository": own}).
			want(403).body, `{"detail": "You may not distribute this repository."}`)
	})
}

func TestAuthorizerIsAskedForWhatItHasToKnow(t *testing.T) {
	t.Parallel()
	var asked []string
	b := setupOn(t, openDB(t, dbtest.SQLite(t)), &rest.Options{
		Auth: actor("superuser"), Authorizer: reader{func(what string) { asked = append(asked, what) }},
	})
	remote := b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"})
	b.create("repositories/file/file/", map[string]any{"name": "a", "remote": remote})
	b.do("DELETE", "tasks/", nil).want(405)
	want := []string{
		"root remotes_file_file_create file.file ",
		"root repositories_file_file_create file.file ",
		"root repositories_file_file_create  remote",
		"root   ",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// brokenAuthorizer fails.
type brokenAuthorizer struct{ visible bool }

func (a brokenAuthorizer) Authorize(context.Context, *rest.Permission) error {
	if a.visible {
		return nil
	}
	return fmt.Errorf("no connection to ldap-7: %w", pulperr.Internal)
}

func (brokenAuthorizer) Visible(context.Context, *rest.Permission) (*rest.Visible, error) {
	return nil, fmt.Errorf("no connection to ldap-7: %w", pulperr.Internal)
}

func TestBrokenAuthorizerLetsNobodyIn(t *testing.T) {
	t.Parallel()
	for _, visible := range []bool{false, true} {
		b := setupOn(t, openDB(t, dbtest.SQLite(t)), &rest.Options{
			Auth: actor("superuser"), Authorizer: brokenAuthorizer{visible},
		})
		diff(t, b.do("GET", "tasks/"+uuid.NewString()+"/", nil).want(500).body, `{"detail": "Internal error."}`)
	}
}
