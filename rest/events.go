package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/tasking/event"
)

const (
	defaultEventStreams = 100
	defaultKeepAlive    = 15 * time.Second
	// streamLife bounds a stream. A client that connects again has to log in again.
	streamLife = time.Hour
)

type shutdownKey struct{}

// WithShutdown returns a context for [http.Server].BaseContext that ends streams of events as soon as serving is done.
// Without it [http.Server.Shutdown] waits until their clients close them.
func WithShutdown(ctx, serving context.Context) context.Context {
	return context.WithValue(ctx, shutdownKey{}, serving)
}

// eventStreams are the streams of events that an API has open.
type eventStreams struct {
	slots     chan struct{} // a token for each stream
	keepAlive time.Duration // time without an event after which a stream sends a comment
}

func newEventStreams(opts *Options) *eventStreams {
	return &eventStreams{make(chan struct{}, max(0, opts.EventStreams)), opts.KeepAlive}
}

// mount adds the operation that streams events.
func (s *eventStreams) mount(c *compiler) {
	text := func(name, doc string) schema.Parameter {
		return schema.Parameter{Name: name, Doc: doc, Schema: openapi3.NewStringSchema()}
	}
	c.add(&operation{schema.Operation{
		Method: http.MethodGet, Path: "tasks/events/", ID: "tasks_events", Tag: "Tasks",
		Summary: "Follow what happens to tasks", Stream: true,
		Params: []schema.Parameter{
			text("task", "href or PRN; events of this task only"),
			text("task_group", "href or PRN; events of this group's tasks only"),
		},
	}, s.serve})
}

// eventFilter selects the events that a client wants. Zero ids want all.
type eventFilter struct{ task, group uuid.UUID }

func (f eventFilter) accepts(e *event.Event) bool {
	return e.Kind == event.Lost ||
		(f.task == uuid.Nil || e.TaskID == f.task) &&
			(f.group == uuid.Nil || e.GroupID != nil && *e.GroupID == f.group)
}

func readEventFilter(ctx context.Context, q *request) (f eventFilter, err error) {
	values, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return f, FieldErrors{"errors": {"The query is malformed."}}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		id, kind := &f.task, links.Task
		switch name {
		case "task":
		case "task_group":
			id, kind = &f.group, links.TaskGroup
		default:
			return f, FieldErrors{"errors": {"Invalid Filter: '" + wire.Shorten(name) + "'"}}
		}
		text := values[name][len(values[name])-1]
		t, ok := q.links.Parse(text)
		if !ok || t.Kind != kind {
			return f, query.BadURI(text)
		}
		// A stream about a task that does not exist would stay silent, and its client would wait for ever.
		found, err := q.links.Find(ctx, q.db, t)
		switch {
		case err != nil:
			return f, err
		case len(found) == 0:
			return f, wire.NotFound("")
		}
		*id = t.ID
	}
	return f, nil
}

// serve answers with server-sent events until the client closes the connection or the server ends.
func (s *eventStreams) serve(ctx context.Context, q *request) (*reply, error) {
	filter, err := readEventFilter(ctx, q)
	if err != nil {
		return nil, err
	}
	// Each stream holds a connection and a subscription for up to an hour, so further clients are refused at once.
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return nil, pulperr.Public(pulperr.Unavailable,
			"The server has as many streams of events as it allows. Try again later.")
	}
	// The subscription begins before the headers are sent: a client that has them misses no event.
	events := q.tasks().Subscribe()
	defer events.Close()
	// An account that was switched off keeps its stream until then.
	ctx, cancel := context.WithTimeout(ctx, streamLife)
	defer cancel()
	if serving, ok := ctx.Value(shutdownKey{}).(context.Context); ok {
		defer context.AfterFunc(serving, cancel)()
	}
	stream := &eventStream{w: q.w, rc: http.NewResponseController(q.w), links: q.links}
	if err := stream.begin(); err != nil || q.r.Method == http.MethodHead {
		return nil, err
	}
	if q.r.Header.Get("Last-Event-ID") != "" { // the client was connected before, and events are not kept
		_ = stream.send(&event.Event{Kind: event.Lost, Time: models.Now()})
	}
	s.follow(ctx, events, filter, stream)
	return nil, nil // the headers are sent, so an error could not be answered any more
}

// follow sends events until ctx is done or the client takes no more.
func (s *eventStreams) follow(
	ctx context.Context, events *event.Subscription, filter eventFilter, stream *eventStream,
) {
	for {
		wait, stop := context.WithTimeout(ctx, s.keepAlive)
		e, err := events.Next(wait)
		stop()
		switch {
		// The time of the stream is over. Next reports it by the same error as a quiet time, so ctx is asked first.
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			// A line that begins with a colon is a comment of server-sent events: proxies see traffic, and clients ignore it.
			err = stream.write([]byte(": still here\n\n"))
		case err == nil && filter.accepts(&e):
			err = stream.send(&e)
		}
		if err != nil {
			return
		}
	}
}

// eventStream writes server-sent events.
type eventStream struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	links *links.Links
	n     int // events so far
}

// begin sends the headers at once, so that the client knows that events will come.
//
// Errors: the server, or a handler around the API, cannot stream. The header was not sent then.
func (s *eventStream) begin() error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would collect the events
	if err := s.rc.Flush(); err != nil {
		// The answer becomes an error in JSON, which a proxy may buffer.
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

// eventAnswer is an event with the names and hrefs that tasks have.
type eventAnswer struct {
	Time     wire.Time        `json:"time"`
	Task     string           `json:"task"`
	Name     string           `json:"name"`
	State    models.TaskState `json:"state"`
	Group    *string          `json:"task_group"`
	Worker   *string          `json:"worker"`
	Progress *event.Progress  `json:"progress_report,omitempty"`
}

func (s *eventStream) send(e *event.Event) error {
	var answer any = wire.Object{{Name: "time", Value: e.Time}}
	if e.Kind != event.Lost {
		answer = eventAnswer{
			wire.Time(e.Time), s.links.Href(links.Task, e.TaskID), e.Name, e.State,
			s.links.HrefOrNull(links.TaskGroup, e.GroupID), s.links.HrefOrNull(links.Worker, e.WorkerID), e.Progress,
		}
	}
	data, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	s.n++
	return s.write(fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", s.n, e.Kind, data))
}
