package rest_test

import (
	"strings"
	"testing"
)

// failure sends a request, runs its task, which must fail, and returns the task.
func (b *bundle) failure(method, target string, body any) *answer {
	b.t.Helper()
	a := b.do(method, target, body).want(202)
	must(b.t, b.worker.RunPending(b.t.Context()))
	task := b.do("GET", a.str("task"), nil).want(200)
	if task.str("state") != "failed" {
		b.t.Errorf("%s %s: the task is %s, want a failed one", method, target, task.body)
	}
	return task
}

// TestOverwrite adds units to a repository in which another unit has their place.
func TestOverwrite(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.repo()
		latest := func() string { return b.do("GET", repo, nil).want(200).str("latest_version_href") }
		old := b.unit("a", "one", "repository", repo)
		before := latest()
		body, edit := form(t, "relative_path", "a", "file", "@two", "repository", repo, "overwrite", "false")
		a := b.do("POST", "content/file/files/", body, edit).want(202)
		must(t, b.worker.RunPending(t.Context()))
		task := b.do("GET", a.str("task"), nil).want(200)
		if text := string(task.body); task.str("state") != "failed" || !strings.Contains(text, "PLP0023") ||
			!strings.Contains(text, "relative_path (a)") {
			t.Errorf("the task is %s, want one that failed with PLP0023 and the place", text)
		}
		if got := latest(); got != before {
			t.Errorf("the latest version is %s, want %s", got, before)
		}
		newer := b.unit("a", "two")
		modify := func(more map[string]any) map[string]any {
			body := map[string]any{"add_content_units": []string{newer}, "overwrite": false}
			for name, value := range more {
				body[name] = value
			}
			return body
		}
		if task := b.failure("POST", repo+"modify/", modify(nil)); !strings.Contains(string(task.body), "PLP0023") {
			t.Errorf("the task is %s, want one that failed with PLP0023", task.body)
		}
		// The same unit again takes no place, and neither does one whose rival is removed by the same request.
		b.completed("POST", repo+"modify/", map[string]any{"add_content_units": []string{old}, "overwrite": false})
		b.completed("POST", repo+"modify/", modify(map[string]any{"remove_content_units": []string{old}}))
		if got := hrefs(b.do("GET", "content/file/files/?repository_version="+latest(), nil)); got != newer {
			t.Errorf("the latest version has %s, want %s", got, newer)
		}
		b.completed("POST", repo+"modify/", map[string]any{"add_content_units": []string{old}})
		if got := hrefs(b.do("GET", "content/file/files/?repository_version="+latest(), nil)); got != old {
			t.Errorf("the latest version has %s, want %s: overwrite is true by default", got, old)
		}
	})
}
