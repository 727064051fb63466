package worker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

func TestBlockedSaysWhoWaitsForWhom(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		names := map[string]string{}
		dispatch := func(name string, exclusive, shared []string) {
			names[b.dispatch(blockArgs{Name: name, Exclusive: exclusive, Shared: shared}).String()] = name
		}
		dispatch("reader 1", nil, []string{"repo"})
		dispatch("reader 2", nil, []string{"repo"})
		dispatch("writer", []string{"repo", "remote"}, nil)
		dispatch("reader 3", nil, []string{"repo", "free"})
		dispatch("free", []string{"other"}, nil)
		for i := range 7 {
			dispatch(fmt.Sprint("crowd ", i), []string{"remote"}, nil)
		}
		list, err := inspect.Blocked(t.Context(), b.q.DB(), 5)
		if err != nil {
			t.Fatal(err)
		}
		describe := func(list []inspect.BlockedTask) (lines []string) {
			for _, blocked := range list {
				for _, w := range blocked.Obstacles {
					var by []string
					for _, h := range w.Holders {
						by = append(by, names[h.ID.String()])
					}
					lines = append(lines, fmt.Sprintf("%s: %s %t by %s", names[blocked.Task.ID.String()], w.Resource,
						w.Exclusive, strings.Join(by, ", ")))
				}
			}
			return lines
		}
		want := []string{
			"writer: repo true by reader 1, reader 2",
			"reader 3: repo false by writer",
			"crowd 0: remote true by writer",
			"crowd 1: remote true by writer, crowd 0",
			"crowd 2: remote true by writer, crowd 0, crowd 1",
		}
		if diff := cmp.Diff(want, describe(list)); diff != "" {
			t.Errorf("Blocked(5) (-want +got):\n%s", diff)
		}
		list, err = inspect.Blocked(t.Context(), b.q.DB(), 100)
		if err != nil || len(list) != 9 {
			t.Fatalf("Blocked(100) = %d, %v, want 9", len(list), err)
		}
		if w := list[8].Obstacles[0]; len(w.Holders) != 5 || !w.More {
			t.Errorf("the last one waits for %d, more %t, want the first 5", len(w.Holders), w.More)
		}
		if list, err := inspect.Blocked(t.Context(), b.q.DB(), 0); err != nil || list != nil {
			t.Errorf("Blocked(0) = %v, %v", list, err)
		}
		counts, err := inspect.Unfinished(t.Context(), b.q.DB())
		if diff := cmp.Diff(map[models.TaskState]int{models.Waiting: 12}, counts); err != nil || diff != "" {
			t.Errorf("Unfinished() = %v (-want +got):\n%s", err, diff)
		}
	})
}

// TestBlockedByManyResources has more look-ups than one statement takes.
func TestBlockedByManyResources(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		var many []string
		for i := range 200 {
			many = append(many, fmt.Sprintf("r%03d", i))
		}
		first := b.dispatch(blockArgs{Name: "first", Exclusive: many})
		for i := range 10 {
			b.dispatch(blockArgs{Name: fmt.Sprint(i), Exclusive: many})
		}
		list, err := inspect.Blocked(t.Context(), b.q.DB(), 100)
		if err != nil || len(list) != 10 {
			t.Fatalf("Blocked(100) = %d, %v", len(list), err)
		}
		for i, blocked := range list {
			if len(blocked.Obstacles) != 50 || blocked.Obstacles[0].Resource != "r000" || blocked.Obstacles[0].Holders[0].ID != first {
				t.Errorf("task %d waits for %d resources", i, len(blocked.Obstacles))
			}
		}
	})
}

func TestBlockedByAnotherDomain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		ticket, err := block.Dispatch(t.Context(), b.domain("other"), blockArgs{Name: "secret", Exclusive: []string{"r"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.dispatch(blockArgs{Name: "x", Exclusive: []string{"r"}})
		list, err := inspect.Blocked(t.Context(), b.q.DB(), 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("Blocked() = %d, %v", len(list), err)
		}
		if h := list[0].Obstacles[0].Holders[0]; h.ID != ticket.TaskID || h.Name != "" {
			t.Errorf("holder = %s %q, want only its id", h.ID, h.Name)
		}
	})
}
