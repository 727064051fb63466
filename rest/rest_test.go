package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSmoke(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		b.do("GET", "status/", nil, func(r *http.Request) { r.Header.Del("Authorization") }).want(200)
		remote := b.create("remotes/file/file/", map[string]any{
			"name": "r", "url": "http://x.example/PULP_MANIFEST",
			"username": "u", "password": "p", "policy": "on_demand",
		})
		repo := b.create("repositories/file/file/", map[string]any{
			"name": "repo", "remote": remote,
			"pulp_labels": map[string]string{"a": "b"},
		})
		unit := b.unit("dir/a.bin", "hello", "repository", repo)
		t.Log(string(b.do("GET", unit, nil).want(200).body))
		t.Log(string(b.do("GET", repo+"versions/1/", nil).want(200).body))
		b.task("POST", repo+"sync/", map[string]any{"mirror": true})
		pub := b.completed("POST", "publications/file/file/", map[string]any{"repository": repo})
		t.Log(string(b.do("GET", pub, nil).want(200).body))
		dist := b.completed("POST", "distributions/file/file/", map[string]any{
			"name": "d", "base_path": "x/y",
			"publication": pub,
		})
		t.Log(string(b.do("GET", dist, nil).want(200).body))
		t.Log(string(b.do("GET", remote, nil).want(200).body))
		t.Log(string(b.do("GET", repo, nil).want(200).body))
		a := b.task("PATCH", repo, map[string]any{"description": "x"})
		t.Log(string(a.body))
		for _, l := range []string{
			"repositories/", "content/", "remotes/", "publications/", "distributions/", "contentguards/",
			"tasks/", "task-groups/", "task-schedules/", "workers/", "artifacts/", "repository_versions/", "content/file/files/",
		} {
			b.do("GET", l, nil).want(200)
		}
		b.completed("DELETE", dist, nil)
		b.completed("DELETE", repo, nil)
		b.completed("DELETE", remote, nil)
	})
}

// diff compares an answer with what is wanted, given as JSON.
func diff(t testing.TB, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("the answer is no JSON: %v: %s", err, got)
	}
	if err := json.NewDecoder(strings.NewReader(want)).Decode(&w); err != nil {
		t.Fatalf("want: %v", err)
	}
	if d := cmp.Diff(w, g); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
}
