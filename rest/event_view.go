package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
)

const (
	defaultEventStreams = 100
	// keepAlive is how often a stream without events says that it is still there, so that no proxy takes it for dead.
	keepAlive = 15 * time.Second
	// streamLife is how long a stream lasts at most. A client that comes back is asked again who it is.
	streamLife = time.Hour
)

type drainKey struct{}

// WithShutdown returns a context for [http.Server].BaseContext that tells the API when its server wants to end: once
// serving is done, streams of events end. Without it they hold up [http.Server.Shutdown] for as long as their clients
// stay.
func WithShutdown(ctx, serving context.Context) context.Context {
	return context.WithValue(ctx, drainKey{}, serving)
}

func (a *API) addTaskEvents() {
	o := operation{tag: "Tasks", path: "tasks/events/", stream: true, params: []*param{
		{name: "task", doc: "href or PRN; events of this task only", form: textFilter},
		{name: "task_group", doc: "href or PRN; events of this group's tasks only", form: textFilter},
	}}
	a.add(o.with("GET", "tasks_events", "Follow what happens to tasks", streamEvents))
}

// eventFilter says which events a client wants. Zero ids want all.
type eventFilter struct{ task, group uuid.UUID }

func (f eventFilter) accepts(e *tasking.Event) bool {
	return e.Kind == tasking.EventsLost ||
		(f.task == uuid.Nil || e.TaskID == f.task) &&
			(f.group == uuid.Nil || e.GroupID != nil && *e.GroupID == f.group)
}

func (c *call) readEventFilter(ctx context.Context) (f eventFilter, err error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return f, FieldErrors{"errors": {"The query is malformed."}}
	}
	for _, name := range slices.Sorted(keysOf(values)) {
		var id *uuid.UUID
		kind := taskKind
		switch name {
		case "task":
			id = &f.task
		case "task_group":
			id, kind = &f.group, taskGroupKind
		default:
			return f, FieldErrors{"errors": {"Invalid Filter: '" + shorten(name) + "'"}}
		}
		text := values[name][len(values[name])-1]
		t, ok := c.api.parseRef(text)
		if !ok || t.kind != kind {
			return f, badURI(text)
		}
		_, found, err := c.api.find(ctx, c.db, t)
		switch {
		case err != nil:
			return f, err
		case !found:
			return f, notFound("")
		}
		*id = t.id
	}
	return f, nil
}

// streamEvents answers with server-sent events until the client goes or the server ends.
func streamEvents(ctx context.Context, c *call) error {
	filter, err := c.readEventFilter(ctx)
	if err != nil {
		return err
	}
	select {
	case c.api.streams <- struct{}{}:
		defer func() { <-c.api.streams }()
	default:
		return pulperr.Public(pulperr.Unavailable, "There are too many streams of events already.")
	}
	events := c.queue().Subscribe() // before the client is told that it has begun
	defer events.Close()
	ctx, cancel := context.WithTimeout(ctx, streamLife)
	defer cancel()
	if serving, ok := ctx.Value(drainKey{}).(context.Context); ok {
		defer context.AfterFunc(serving, cancel)()
	}
	s := &eventStream{w: c.w, rc: http.NewResponseController(c.w)}
	if err := s.begin(); err != nil || c.r.Method == http.MethodHead {
		return err
	}
	if c.r.Header.Get("Last-Event-ID") != "" { // it comes back, and nobody knows what it has missed
		_ = s.send(&tasking.Event{Kind: tasking.EventsLost, Time: models.Now()}, c.api)
	}
	c.follow(ctx, events, filter, s)
	return nil // what has been begun cannot become an error
}

// follow passes events on as long as everybody stays.
func (c *call) follow(ctx context.Context, events *tasking.Subscription, filter eventFilter, s *eventStream) {
	for {
		wait, stop := context.WithTimeout(ctx, c.api.alive)
		e, err := events.Next(wait)
		stop()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			err = s.write([]byte(": still here\n\n"))
		case err == nil && filter.accepts(&e):
			err = s.send(&e, c.api)
		}
		if err != nil {
			return
		}
	}
}

// eventStream writes server-sent events.
type eventStream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	n  int // events so far
}

// begin sends the headers, so that the client knows at once that it listens.
//
// Errors: that the server, or something between it and here, cannot stream. Nothing was sent then.
func (s *eventStream) begin() error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events
	if err := s.rc.Flush(); err != nil {
		h.Del("X-Accel-Buffering")
		return fmt.Errorf("rest: stream of events: %w", err)
	}
	return s.write([]byte("retry: 2000\n\n"))
}

// write sends text at once. A client that does not take it is cut off by Options.Limits.
func (s *eventStream) write(text []byte) error {
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.rc.Flush()
}

func (s *eventStream) send(e *tasking.Event, a *API) error {
	data, err := json.Marshal(a.eventObject(e))
	if err != nil {
		return err
	}
	s.n++
	return s.write(fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", s.n, e.Kind, data))
}

// eventObject renders an event with the names and hrefs that tasks have.
func (a *API) eventObject(e *tasking.Event) object {
	if e.Kind == tasking.EventsLost {
		return object{{"time", e.Time}}
	}
	o := object{
		{"time", e.Time},
		{"task", a.coreHref(taskKind, e.TaskID)},
		{"name", e.Name},
		{"state", e.State},
		{"task_group", a.optionalHref(taskGroupKind, e.GroupID)},
		{"worker", a.optionalHref(workerKind, e.WorkerID)},
	}
	if e.Progress != nil {
		o.set("progress_report", e.Progress)
	}
	return o
}
