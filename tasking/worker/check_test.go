package worker_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestCheckFindsWhatCannotBe(t *testing.T) {
	t.Parallel()
	const reservation = "INSERT INTO core_taskresource (rkey, exclusive, seq, task_id) "
	const seqOf = "(SELECT seq FROM core_task WHERE pulp_id = ?)"
	tests := map[string]struct {
		breaks []string // each gets the id of the first task where it has a ?
		want   []string
	}{
		"sound":                     {nil, nil},
		"a reservation too few":     {[]string{"DELETE FROM core_taskresource WHERE exclusive AND task_id = ?"}, []string{inspect.RuleReservations, inspect.RuleStranded}},
		"a reservation too many":    {[]string{reservation + "SELECT 1, FALSE, seq, pulp_id FROM core_task WHERE pulp_id = ?"}, []string{inspect.RuleReservations}},
		"shared instead":            {[]string{"UPDATE core_taskresource SET exclusive = FALSE WHERE exclusive AND task_id = ?"}, []string{inspect.RuleReservations, inspect.RuleReservations}},
		"a reservation of nobody":   {[]string{reservation + "SELECT 1, FALSE, seq, '00000000-0000-0000-0000-000000000001' FROM core_task WHERE pulp_id = ?"}, []string{inspect.RuleReservations}},
		"ended with reservations":   {[]string{"UPDATE core_task SET state = 'canceled' WHERE pulp_id = ?"}, []string{inspect.RuleReservations, inspect.RuleReservations}},
		"two at once":               {[]string{"UPDATE core_task SET unblocked_at = pulp_created WHERE seq > " + seqOf}, []string{inspect.RuleConflict}},
		"nothing in the way":        {[]string{"UPDATE core_task SET unblocked_at = NULL WHERE pulp_id = ?"}, []string{inspect.RuleStranded}},
		"runs without a worker":     {[]string{"UPDATE core_task SET state = 'running', attempt = 1, started_at = pulp_created WHERE pulp_id = ?"}, []string{inspect.RuleOwner}},
		"runs without having begun": {[]string{"UPDATE core_task SET state = 'running' WHERE pulp_id = ?"}, []string{inspect.RuleAttempt, inspect.RuleOwner}},
		"attempts below nothing":    {[]string{"UPDATE core_task SET attempt = -1 WHERE pulp_id = ?"}, []string{inspect.RuleAttempt}},
	}
	onEach(t, func(t *testing.T, b *bench) {
		for name, tt := range tests {
			first := b.dispatch(blockArgs{Name: "first", Exclusive: []string{"r"}})
			b.dispatch(blockArgs{Name: "second", Exclusive: []string{"r"}})
			for _, statement := range tt.breaks {
				b.exec(statement, first)
			}
			found, err := inspect.Check(t.Context(), b.q.DB())
			if err != nil {
				t.Fatal(err)
			}
			var rules []string
			for _, v := range found {
				rules = append(rules, v.Rule)
				if (v.Task == "") != (v.TaskID == uuid.UUID{15: 1}) || v.Detail == "" {
					t.Errorf("%s: %s", name, v)
				}
			}
			slices.Sort(rules)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, rules); diff != "" {
				t.Errorf("%s: %s%v", name, diff, found)
			}
			b.exec("DELETE FROM core_taskresource")
			b.exec("DELETE FROM core_task")
		}
	})
}

func TestCheckReportsNoMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		if err := worker.Pile(t.Context(), b.q, 500, "r"); err != nil {
			t.Fatal(err)
		}
		b.exec("UPDATE core_task SET unblocked_at = pulp_created, attempt = -1")
		found, err := inspect.Check(t.Context(), b.q.DB())
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, v := range found {
			count[v.Rule]++
		}
		want := map[string]int{inspect.RuleConflict: 1, inspect.RuleAttempt: 100, inspect.RuleOwner: 1}
		if diff := cmp.Diff(want, count); diff != "" {
			t.Error(diff)
		}
		b.exec("DELETE FROM core_taskresource")
		b.exec("DELETE FROM core_task")
	})
}
