package rest_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
)

// TestTaskGroupsNameTheirTasks lists groups of no, one and two tasks.
func TestTaskGroupsNameTheirTasks(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		want := map[string][]string{}
		for i := range 3 {
			g, err := b.queue.NewGroup(t.Context(), "g", group.Report{Code: fmt.Sprint(i)})
			must(t, err)
			href := "/pulp/api/v3/task-groups/" + g.ID.String() + "/"
			want[href] = []string{}
			for range i {
				ticket, err := publishTask.Dispatch(t.Context(), b.queue, publishArgs{}, &tasking.DispatchOptions{Group: g})
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
