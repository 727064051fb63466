package rest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/tasking"
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
		n, err := b.queue.DispatchDue(t.Context())
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

func TestTaskSchedules(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		next := time.Date(2199, 1, 2, 3, 4, 5, 0, time.UTC)
		args := publishArgs{Manifest: "a secret"}
		s, err := publishTask.Schedule(t.Context(), b.queue, args, tasking.Schedule{
			Name: "nightly", Every: 26*time.Hour + 3*time.Second + 500*time.Millisecond, Next: next,
		})
		must(t, err)
		_, err = syncTask.Schedule(t.Context(), b.queue, SyncArgs{}, tasking.Schedule{Name: "once", Shared: tasking.Named("x")})
		must(t, err)
		href := "/pulp/api/v3/task-schedules/" + s.ID.String() + "/"
		a := b.do("GET", href, nil).want(200)
		diff(t, a.body, fmt.Sprintf(`{"pulp_href": %q, "prn": "prn:core.taskschedule:%s", "pulp_created": %q,
			"pulp_last_updated": %q, "name": "nightly", "task_name": "file.publish", "dispatch_interval": "1 02:00:03.500000",
			"next_dispatch": "2199-01-02T03:04:05Z", "last_task": null}`, href, s.ID, a.str("pulp_created"),
			a.str("pulp_last_updated")))
		if _, err := b.queue.DispatchDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		once, err := b.queue.Schedule(t.Context(), "once")
		must(t, err)
		other := "/pulp/api/v3/task-schedules/" + once.ID.String() + "/"
		a = b.do("GET", other, nil).want(200)
		task := "/pulp/api/v3/tasks/" + once.LastTaskID.String() + "/"
		if a.get("next_dispatch") != nil || a.get("dispatch_interval") != nil || a.get("last_task") != task {
			t.Errorf("schedule that is over = %s", a.body)
		}
		for q, want := range map[string]string{
			"":                          other + " " + href,
			"?name=nightly":             href,
			"?name__contains=nc":        other,
			"?task_name=file.sync":      other,
			"?task_name__contains=pub":  href,
			"?ordering=name":            href + " " + other,
			"?prn__in=" + a.str("prn"):  other,
			"?pulp_href__in=" + href:    href,
			"?limit=1&ordering=-name":   other,
			"?task_name__contains=nope": "",
		} {
			if got := hrefs(b.do("GET", "task-schedules/"+q, nil)); got != want {
				t.Errorf("task-schedules/%s = %s, want %s", q, got, want)
			}
		}
		if root := b.do("GET", "/pulp/api/v3/", nil).want(200); !strings.HasSuffix(root.str("task-schedules"), "/task-schedules/") {
			t.Errorf("root = %s", root.body)
		}
	})
}

// TestTaskGroupsNameTheirTasks lists groups of no, one and two tasks.
func TestTaskGroupsNameTheirTasks(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		want := map[string][]string{}
		for i := range 3 {
			g, err := tasking.NewGroup(t.Context(), b.queue, "g", tasking.GroupReport{Code: fmt.Sprint(i)})
			must(t, err)
			href := "/pulp/api/v3/task-groups/" + g.ID.String() + "/"
			want[href] = []string{}
			for range i {
				ticket, err := publishTask.Dispatch(t.Context(), b.queue, publishArgs{}, &tasking.Options{Group: g})
				must(t, err)
				want[href] = append([]string{"/pulp/api/v3/tasks/" + ticket.TaskID.String() + "/"}, want[href]...)
			}
		}
		var page struct {
			Results []struct {
				Href    string `json:"pulp_href"`
				Waiting int
				Reports []any `json:"group_progress_reports"`
				Tasks   []struct {
					Href string `json:"pulp_href"`
				}
			}
		}
		must(t, json.Unmarshal(b.do("GET", "task-groups/", nil).want(200).body, &page))
		if len(page.Results) != len(want) {
			t.Fatalf("there are %d groups", len(page.Results))
		}
		for _, g := range page.Results {
			got := []string{}
			for _, task := range g.Tasks {
				got = append(got, task.Href)
			}
			if fmt.Sprint(got) != fmt.Sprint(want[g.Href]) || g.Waiting != len(got) || len(g.Reports) != 1 {
				t.Errorf("group = %+v, want the tasks %v", g, want[g.Href])
			}
		}
	})
}
