package engine

import (
	"context"
	"iter"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// The queues. Short work has its own, so that it never waits for a sync.
const (
	DefaultQueue   = "default"
	ImmediateQueue = "immediate"
)

// Queues returns the names of the queues, in the order in which workers read them.
func Queues() []string { return []string{ImmediateQueue, DefaultQueue} }

// readyPage is how many ready tasks are read at a time.
const readyPage = 100

// ReadyTasks yields the tasks of a queue that may be claimed, the oldest first. It ends with its first error.
func ReadyTasks(ctx context.Context, db *models.DB, queue string) iter.Seq2[taskdb.ReadyTask, error] {
	return func(yield func(taskdb.ReadyTask, error) bool) {
		for after := int64(0); ; {
			page, err := taskdb.ReadReady(ctx, taskdb.On(db), queue, after, readyPage)
			if err != nil {
				yield(taskdb.ReadyTask{}, err)
				return
			}
			for _, t := range page {
				after = t.Seq
				if !yield(t.ReadyTask, nil) {
					return
				}
			}
			if len(page) < readyPage {
				return
			}
		}
	}
}
