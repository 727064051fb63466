package engine

import (
	"context"

	"github.com/google/uuid"
)

// What the context of a dispatch and of a task carries. Package tasking documents the functions below for plugins.

type ctxKey int

const (
	cidKey ctxKey = iota
	userKey
	taskKey
)

// WithCorrelationID returns a context with a correlation id.
func WithCorrelationID(ctx context.Context, cid string) context.Context {
	return context.WithValue(ctx, cidKey, cid)
}

// CorrelationID returns the correlation id of ctx or "".
func CorrelationID(ctx context.Context) string {
	cid, _ := ctx.Value(cidKey).(string)
	return cid
}

// WithUser returns a context with a user.
func WithUser(ctx context.Context, id int64) context.Context {
	return context.WithValue(ctx, userKey, id)
}

// User returns the user of ctx, or false if there is none.
func User(ctx context.Context) (int64, bool) {
	id, ok := ctx.Value(userKey).(int64)
	return id, ok
}

// WithTaskID returns the context of what runs as a part of a task.
func WithTaskID(ctx context.Context, id uuid.UUID) context.Context {
	return context.WithValue(ctx, taskKey, id)
}

// TaskID returns the id of the task that runs with ctx, or false outside of tasks.
func TaskID(ctx context.Context) (uuid.UUID, bool) {
	id, ok := ctx.Value(taskKey).(uuid.UUID)
	return id, ok
}
