// Package asynqmon shows the messages in the Redis of a task queue, with the web interface of the same name. The tasks
// on its pages are the messages that announce ready tasks to workers. The tasks themselves are in the database: the
// interface shows their delivery and not their state. Mount it behind your own authentication:
//
//	h, err := asynqmon.Handler(app.Queue(), "/asynqmon")
//	mux.Handle("/asynqmon/", onlyAdmins(h))
//
// A queue that was opened without a Redis has no messages; the page then explains that.
//
// It is a module of its own, because few programs need it. As long as it has no release of its own, its go.mod names a
// version of pulpcore that does not exist and replaces it by the folder it lies in. Go ignores the replacements of an
// imported module, so clone the repository and let the go.mod of your program replace both:
//
//	replace github.com/pulpgo/pulpcore => ../pulpcore
//	replace github.com/pulpgo/pulpcore/contrib/asynqmon => ../pulpcore/contrib/asynqmon
package asynqmon

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

// Handler returns the interface for the paths below root, which begins with a slash, such as "/asynqmon". It is
// read-only and does not authenticate: the host puts its own authentication in front. It uses the queue's connection,
// so it must not be used once the queue is closed. For a queue without a Redis it answers every request with an
// explanation.
//
// Errors: Invalid for a root without a slash in front; Unavailable if the queue is closed.
func Handler(q *tasking.Queue, root string) (http.Handler, error) {
	if !strings.HasPrefix(root, "/") {
		return nil, pulperr.Public(pulperr.Invalid, "the root %q does not begin with a slash", root)
	}
	client, err := inspect.Redis(q)
	if errors.Is(err, inspect.ErrNoRedis) {
		return http.HandlerFunc(withoutRedis), nil
	}
	if err != nil {
		return nil, fmt.Errorf("asynqmon: %w", err)
	}
	return asynqmon.New(asynqmon.Options{
		RootPath: root, RedisConnOpt: connection{client}, ReadOnly: true, PayloadFormatter: payload{},
	}), nil
}

// withoutRedis answers that there are no messages, and why.
func withoutRedis(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "This installation runs without Redis: its workers read ready tasks from the database, "+
		"and there are no "+
		"messages to show. Set REDIS_URL to announce tasks in a Redis.", http.StatusNotFound)
}

// connection gives asynqmon a connection that exists already.
type connection struct{ client redis.UniversalClient }

// MakeRedisClient returns it.
func (c connection) MakeRedisClient() any { return c.client }

var _ asynq.RedisConnOpt = connection{}

// payload shows the task that a message is about.
type payload struct{}

// FormatPayload returns the id of the task, and behind it the versions of plugins that it needs, if any.
func (payload) FormatPayload(_ string, raw []byte) string {
	n := min(len(raw), len(uuid.UUID{}))
	id, err := uuid.FromBytes(raw[:n])
	if err != nil {
		return "not a task's"
	}
	if versions := string(raw[n:]); versions != "" {
		return id.String() + " " + versions
	}
	return id.String()
}
