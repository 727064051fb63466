package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestWhatATaskStoresHasBounds has arguments, results and errors of more than what a row should have.
func TestWhatATaskStoresHasBounds(t *testing.T) {
	t.Parallel()
	const limit = 16 << 20
	onEach(t, func(t *testing.T, b *bench) {
		large := tasking.Define[string]("test.large")
		var completed error
		w := b.worker(worker.Options{Bindings: []tasking.Binding{large.BindResult(
			func(ctx context.Context, env *tasking.Env, what string) (any, error) {
				switch what {
				case "fits":
					return strings.Repeat("x", limit-2), nil // and two quotes
				case "result":
					return strings.Repeat("x", limit-1), nil
				case "complete":
					completed = env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
						return env.CompleteTx(ctx, tx, strings.Repeat("x", limit))
					})
					return nil, completed
				}
				return nil, pulperr.Public(pulperr.Invalid, "%s", strings.Repeat("ü", 1<<20))
			})}})
		if _, err := large.Dispatch(t.Context(), b.q, strings.Repeat("x", limit), nil); !errors.Is(err, pulperr.Invalid) ||
			!strings.Contains(pulperr.Message(err), "16777218 bytes and may have 16777216") {
			t.Errorf("Dispatch() = %v, want Invalid with both sizes", err)
		}
		check := map[string]func(task *models.Task) bool{
			"fits": func(task *models.Task) bool { return task.State == models.Completed && len(task.Result) == limit },
			"result": func(task *models.Task) bool {
				return task.State == models.Failed && strings.Contains(task.Error.Description, "may have 16777216")
			},
			"complete": func(task *models.Task) bool {
				return task.State == models.Failed && errors.Is(completed, pulperr.Invalid)
			},
			"error": func(task *models.Task) bool {
				text := task.Error.Description
				return task.State == models.Failed && len(text) <= 64<<10 && len(text) > 60<<10 &&
					strings.HasSuffix(text, " […]") && utf8.ValidString(text)
			},
		}
		for what, ok := range check {
			ticket, err := large.Dispatch(t.Context(), b.q, what, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.RunPending(t.Context()); err != nil {
				t.Fatal(err)
			}
			if task := b.get(ticket.TaskID); !ok(task) {
				t.Errorf("%s: the task is %s with %d bytes of result and error %+.300v", what, task.State, len(task.Result), task.Error)
			}
		}
	})
}
