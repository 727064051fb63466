package rest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/tasking/schedule"
)

// reports returns the progress reports of a task that completed, with each row's members in order.
func reports(t *testing.T, task *answer) string {
	t.Helper()
	if state := task.str("state"); state != "completed" {
		t.Fatalf("the task is %s: %s", state, task.body)
	}
	list, err := json.Marshal(task.get("progress_reports"))
	must(t, err)
	return string(list)
}

func report(message, code string, n int) string {
	return fmt.Sprintf(`{"message": %q, "code": %q, "state": "completed", "total": %d, "done": %d, "suffix": null}`,
		message, code, n, n)
}

func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		old := b.task("POST", b.repo()+"modify/", map[string]any{}).str("pulp_href")
		canceled := b.do("POST", b.repo()+"sync/", map[string]any{"remote": b.create("remotes/file/file/", map[string]any{
			"name": "r", "url": "http://x.example/",
		})}).want(202).str("task")
		b.do("PATCH", canceled, map[string]any{"state": "canceled"}).want(200)
		a := b.task("POST", "tasks/purge/", nil)
		const total, failed = "Purged task-related-objects total", "Tasks failed to purge"
		const tasks = "Purged task-objects of type core.Task"
		list := func(n, kept int, more ...string) string {
			return "[" + strings.Join(append([]string{
				report(total, "purge.tasks.total", n+len(more)), report(tasks, "purge.tasks.key.core.Task", n),
				report(failed, "purge.tasks.error", kept),
			}, more...), ",") + "]"
		}
		diff(t, []byte(reports(t, a)), list(0, 0))
		if name := a.str("name"); name != "pulpcore.app.tasks.purge.purge" {
			t.Errorf("name = %q", name)
		}
		diff(t, []byte(fmt.Sprintf("%q", a.get("reserved_resources_record").([]any))),
			fmt.Sprintf(`["shared:%s"]`, models.CorePRN("domain", b.db.Domain().ID)))
		b.do("DELETE", a.str("pulp_href"), nil).want(204)
		b.do("GET", old, nil).want(200)

		tomorrow := time.Now().Add(24 * time.Hour).Format(time.RFC3339)
		b.task("POST", "tasks/purge/", map[string]any{"finished_before": tomorrow, "states": []string{}})
		b.do("GET", old, nil).want(200)
		a = b.task("POST", "tasks/purge/", map[string]any{"finished_before": tomorrow})
		if got := reports(t, a); !strings.Contains(got, `"code":"purge.tasks.key.core.ProgressReport"`) {
			t.Errorf("reports = %s", got)
		}
		b.do("GET", old, nil).want(404)
		b.do("GET", canceled, nil).want(200)
		b.do("DELETE", a.str("pulp_href"), nil).want(204)
		a = b.task("POST", "tasks/purge/", map[string]any{"finished_before": tomorrow, "states": []string{"canceled"}})
		diff(t, []byte(reports(t, a)), list(1, 0))
		b.do("GET", canceled, nil).want(404)
	})
}

func TestSchedulePurge(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		must(t, rest.SchedulePurge(t.Context(), b.queue, 0)) // there is none
		old := b.task("POST", b.repo()+"modify/", map[string]any{}).str("pulp_href")
		for range 2 {
			must(t, rest.SchedulePurge(t.Context(), b.queue, time.Microsecond))
		}
		list := b.do("GET", "task-schedules/", nil).want(200)
		var page struct {
			Results []struct {
				TaskName         string  `json:"task_name"`
				DispatchInterval string  `json:"dispatch_interval"`
				LastTask         *string `json:"last_task"`
			}
		}
		must(t, json.Unmarshal(list.body, &page))
		if len(page.Results) != 1 || page.Results[0].TaskName != "pulpcore.app.tasks.purge.purge" ||
			page.Results[0].DispatchInterval != "00:01:00" || page.Results[0].LastTask != nil {
			t.Fatalf("schedules = %s", list.body)
		}
		n, err := schedule.DispatchDue(t.Context(), b.queue)
		if n != 1 || err != nil {
			t.Fatalf("DispatchDue() = %d, %v", n, err)
		}
		must(t, b.worker.RunPending(t.Context()))
		b.do("GET", old, nil).want(404)
		must(t, rest.SchedulePurge(t.Context(), b.queue, 0))
		if n := b.do("GET", "task-schedules/", nil).get("count"); n != 0.0 {
			t.Errorf("there are %v schedules", n)
		}
	})
}
