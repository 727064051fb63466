package rest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/schedule"
)

func TestTaskSchedules(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		next := time.Date(2199, 1, 2, 3, 4, 5, 0, time.UTC)
		args := publishArgs{Manifest: "a secret"}
		s, err := schedule.Set(t.Context(), b.queue, publishTask, args, &schedule.Options{
			Name: "nightly", Every: 26*time.Hour + 3*time.Second + 500*time.Millisecond, Next: next,
		})
		must(t, err)
		_, err = schedule.Set(t.Context(), b.queue, syncTask, SyncArgs{}, &schedule.Options{Name: "once", Shared: tasking.Named("x")})
		must(t, err)
		href := "/pulp/api/v3/task-schedules/" + s.ID.String() + "/"
		a := b.do("GET", href, nil).want(200)
		diff(t, a.body, fmt.Sprintf(`{"pulp_href": %q, "prn": "prn:core.taskschedule:%s", "pulp_created": %q,
			"pulp_last_updated": %q, "name": "nightly", "task_name": "file.publish", "dispatch_interval": "1 02:00:03.500000",
			"next_dispatch": "2199-01-02T03:04:05Z", "last_task": null}`, href, s.ID, a.str("pulp_created"),
			a.str("pulp_last_updated")))
		if _, err := schedule.DispatchDue(t.Context(), b.queue); err != nil {
			t.Fatal(err)
		}
		once, err := schedule.Get(t.Context(), b.queue.DB(), "once")
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
