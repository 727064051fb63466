package apitest

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/schedule"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

const (
	base = "/pulp/api/v3/" // of the API
	file = "file_file"     // what the operations of the file plugin have in their names
)

// visit makes the requests, in an order in which each finds what it needs.
func (w *walk) visit(t *testing.T) {
	w.do(t, ask{op: "status_read", want: http.StatusOK})
	w.do(t, ask{op: "livez_read", want: http.StatusOK})
	artifact := w.visitArtifacts(t)
	remote := w.create(t, "remotes_"+file, nil)
	repo := w.create(t, "repositories_"+file, map[string]any{"remote": remote})
	w.visitContent(t, repo, artifact)
	w.visitVersions(t, repo)
	w.visitTasks(t, repo, remote)
	w.visitGroups(t)
	visitGuards(t, w)
	publication := w.visitPublications(t, repo)
	guard := any(nil)
	if w.has("contentguards_file_header_create") {
		guard = w.create(t, "contentguards_file_header", nil)
	}
	distribution := w.task(t, w.do(t, ask{
		op: "distributions_" + file + "_create", want: http.StatusAccepted,
		body: w.fill("distributions_"+file+"_create", map[string]any{"publication": publication, "content_guard": guard}),
	}))
	for prefix, href := range map[string]string{
		"remotes_" + file: remote, "repositories_" + file: repo, "distributions_" + file: distribution,
	} {
		w.change(t, prefix, href, http.StatusAccepted)
		w.label(t, prefix, href)
	}
	if w.has("repositories_file_file_rename") {
		body := map[string]any{"name": "y", "times": 2}
		w.do(t, ask{op: "repositories_file_file_rename", at: repo, body: body, want: http.StatusOK})
	}
	for _, id := range slices.Sorted(maps.Keys(w.ops)) {
		if strings.HasSuffix(id, "_list") && !w.ops[id].hasKey() {
			w.do(t, ask{op: id, want: http.StatusOK})
			w.do(t, ask{op: id, query: "?limit=1&fields=pulp_href", want: http.StatusOK})
		}
	}
	if guard != nil {
		w.change(t, "contentguards_file_header", guard.(string), http.StatusOK)
		w.delete(t, "contentguards_file_header", guard.(string), http.StatusNoContent)
	}
	w.delete(t, "publications_"+file, publication, http.StatusNoContent)
	w.delete(t, "distributions_"+file, distribution, http.StatusAccepted)
	w.delete(t, "repositories_"+file, repo, http.StatusAccepted)
	w.delete(t, "remotes_"+file, remote, http.StatusAccepted)
}

// create makes a row with all of its writable fields, and reads it.
func (w *walk) create(t *testing.T, prefix string, given map[string]any) string {
	t.Helper()
	body := w.fill(prefix+"_create", given)
	href := w.do(t, ask{op: prefix + "_create", body: body, want: http.StatusCreated}).str("pulp_href")
	w.do(t, ask{op: prefix + "_read", at: href, want: http.StatusOK})
	return href
}

// change updates a row with another name, and then again with the same, which leaves it as it is.
func (w *walk) change(t *testing.T, prefix, href string, changed int) {
	t.Helper()
	row := w.do(t, ask{op: prefix + "_read", at: href, want: http.StatusOK}).object
	for _, op := range []string{prefix + "_partial_update", prefix + "_update"} {
		body := w.fill(op, row)
		for name := range body {
			if _, shown := row[name]; !shown {
				body[name] = nil // a secret
			}
		}
		body["name"] = w.sample("name", nil)
		w.settle(t, w.do(t, ask{op: op, at: href, body: body, want: changed}), changed)
		w.do(t, ask{op: op, at: href, body: body, want: http.StatusOK})
	}
}

// settle waits for a change that goes on as a task.
func (w *walk) settle(t *testing.T, g *got, status int) {
	t.Helper()
	if status == http.StatusAccepted && g.status == status {
		w.task(t, g)
	}
}

func (w *walk) delete(t *testing.T, prefix, href string, status int) {
	t.Helper()
	w.settle(t, w.do(t, ask{op: prefix + "_delete", at: href, want: status}), status)
}

func (w *walk) label(t *testing.T, prefix, href string) {
	t.Helper()
	for _, value := range []any{"v", nil} {
		body := map[string]any{"key": "k", "value": value}
		w.do(t, ask{op: prefix + "_set_label", at: href, body: body, want: http.StatusCreated})
		w.do(t, ask{op: prefix + "_unset_label", at: href, body: map[string]any{"key": "k"}, want: http.StatusCreated})
	}
}

func (w *walk) visitArtifacts(t *testing.T) string {
	t.Helper()
	content := []byte("content")
	sum := sha256.Sum256(content)
	body := map[string]any{"file": content, "size": len(content), "sha256": hex.EncodeToString(sum[:])}
	for _, other := range []string{"md5", "sha1", "sha224", "sha384", "sha512"} {
		body[other] = "" // no value
	}
	href := w.do(t, ask{op: "artifacts_create", body: body, want: http.StatusCreated}).str("pulp_href")
	w.do(t, ask{op: "artifacts_create", body: body, want: http.StatusBadRequest})
	w.do(t, ask{op: "artifacts_read", at: href, want: http.StatusOK})
	w.do(t, ask{op: "artifacts_delete", at: href, want: http.StatusForbidden})
	return href
}

func (w *walk) visitContent(t *testing.T, repo, artifact string) {
	t.Helper()
	const op = "content_file_files_create"
	first := w.task(t, w.do(t, ask{op: op, want: http.StatusAccepted, body: map[string]any{
		"relative_path": "a", "file": []byte("a"), "repository": repo, "pulp_labels": `{"k": null}`, "overwrite": false,
	}}))
	second := w.task(t, w.do(t, ask{op: op, want: http.StatusAccepted, body: map[string]any{
		"relative_path": "b", "artifact": artifact,
	}}))
	// A plugin whose Creator has a function of its own takes no file_url.
	if w.ops[op].body().Properties["file_url"] != nil {
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("c"))
		}))
		t.Cleanup(upstream.Close)
		w.task(t, w.do(t, ask{op: op, want: http.StatusAccepted, body: map[string]any{
			"relative_path": "c", "file_url": upstream.URL + "/c", "downloader_config": `{"headers": [{"X-A": "b"}]}`,
		}}))
	}
	w.do(t, ask{op: "content_file_files_read", at: first, want: http.StatusOK})
	w.label(t, "content_file_files", first)
	const modify = "repositories_" + file + "_modify"
	w.task(t, w.do(t, ask{op: modify, at: repo, want: http.StatusAccepted, body: map[string]any{
		"add_content_units": []any{second}, "remove_content_units": []any{}, "base_version": repo + "versions/1/", "overwrite": false,
	}}))
	unknown := map[string]any{"add_content_units": []any{nowhere(second)}}
	w.do(t, ask{op: modify, at: repo, body: unknown, want: http.StatusBadRequest})
}

func (w *walk) visitVersions(t *testing.T, repo string) {
	t.Helper()
	const prefix = "repositories_" + file + "_versions"
	w.do(t, ask{op: prefix + "_list", at: repo, want: http.StatusOK})
	w.do(t, ask{op: prefix + "_read", at: repo + "versions/2/", want: http.StatusOK})
	w.task(t, w.do(t, ask{op: prefix + "_delete", at: repo + "versions/1/", want: http.StatusAccepted}))
}

// visitTasks cancels a sync that waits, and purges tasks that have ended.
func (w *walk) visitTasks(t *testing.T, repo, remote string) {
	t.Helper()
	const sync = "repositories_" + file + "_sync"
	// It is canceled before Run is called, because a worker would ask the remote, whose address does not exist.
	waiting := w.do(t, ask{op: sync, at: repo, want: http.StatusAccepted, body: map[string]any{
		"remote": remote, "mirror": true, "optimize": false,
	}}).str("task")
	w.do(t, ask{op: "tasks_read", at: waiting, want: http.StatusOK})
	w.do(t, ask{op: "tasks_read", at: waiting, query: "?minimal=true", want: http.StatusOK})
	w.do(t, ask{op: "tasks_list", query: "?minimal=true", want: http.StatusOK})
	canceled := map[string]any{"state": "canceled"}
	w.do(t, ask{op: "tasks_cancel", at: waiting, body: canceled, want: http.StatusOK})
	w.do(t, ask{op: "tasks_cancel", at: waiting, body: canceled, want: http.StatusConflict})
	w.do(t, ask{op: "tasks_delete", at: waiting, want: http.StatusNoContent})
	w.task(t, w.do(t, ask{op: "tasks_purge", want: http.StatusAccepted, body: map[string]any{
		"finished_before": "2020-01-01T00:00:00Z", "states": []any{"completed", "failed"},
	}}))
	w.do(t, ask{op: "tasks_events", want: http.StatusOK})
}

var nothing = tasking.Define[struct{}]("apitest.nothing")

// visitGroups makes the rows that no request can make: a group of tasks, a schedule, and a worker.
func (w *walk) visitGroups(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	together, err := w.Queue.NewGroup(ctx, "together", group.Report{Message: "Doing", Code: "do", Total: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nothing.Dispatch(ctx, w.Queue, struct{}{}, &tasking.DispatchOptions{Group: together}); err != nil {
		t.Fatal(err)
	}
	later := &schedule.Options{Name: "later", Next: time.Now().Add(time.Hour)}
	nightly, err := schedule.Set(ctx, w.Queue, nothing, struct{}{}, later)
	if err != nil {
		t.Fatal(err)
	}
	row := &models.Worker{Kind: worker.KindWorker, Name: "worker", LastHeartbeat: models.Now()}
	row.ID, row.Created, row.Updated = models.NewID(), models.Now(), models.Now()
	if _, err := w.DB.Bun().NewInsert().Model(row).Exec(ctx); err != nil {
		t.Fatal(err)
	}
	at := base + "task-groups/" + together.ID.String() + "/"
	canceled := map[string]any{"state": "canceled"}
	w.do(t, ask{op: "task_groups_read", at: at, want: http.StatusOK})
	w.do(t, ask{op: "task_groups_cancel", at: at, body: canceled, want: http.StatusOK})
	w.do(t, ask{op: "task_groups_cancel", at: at, body: canceled, want: http.StatusConflict})
	w.do(t, ask{op: "task_schedules_read", at: base + "task-schedules/" + nightly.ID.String() + "/", want: http.StatusOK})
	w.do(t, ask{op: "workers_read", at: base + "workers/" + row.ID.String() + "/", want: http.StatusOK})
}

func (w *walk) visitPublications(t *testing.T, repo string) string {
	t.Helper()
	const op = "publications_" + file + "_create"
	publish := func(given map[string]any, without string) string {
		return w.task(t, w.do(t, ask{op: op, body: w.fill(op, given, without), want: http.StatusAccepted}))
	}
	publish(map[string]any{"repository": repo}, "repository_version")
	href := publish(map[string]any{"repository_version": repo + "versions/2/"}, "repository")
	w.do(t, ask{op: "publications_" + file + "_read", at: href, want: http.StatusOK})
	return href
}
