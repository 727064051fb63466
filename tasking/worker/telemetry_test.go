package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// observer keeps what a process reports.
type observer struct {
	t      *testing.T
	spans  *tracetest.InMemoryExporter
	tracer *sdktrace.TracerProvider
	reader *sdkmetric.ManualReader
	meter  *sdkmetric.MeterProvider
}

func observe(t *testing.T) *observer {
	t.Helper()
	o := &observer{t: t, spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	o.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.spans))
	o.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader))
	t.Cleanup(func() {
		_ = o.tracer.Shutdown(context.WithoutCancel(t.Context()))
		_ = o.meter.Shutdown(context.WithoutCancel(t.Context()))
	})
	return o
}

func (o *observer) options(redisURL string) tasking.QueueOptions {
	return tasking.QueueOptions{RedisURL: redisURL, Tracer: o.tracer, Meter: o.meter}
}

// points returns all measurements, as "name{key=value …}", with their sums; of histograms the number of records.
func (o *observer) points() map[string]float64 {
	o.t.Helper()
	var all metricdata.ResourceMetrics
	if err := o.reader.Collect(context.WithoutCancel(o.t.Context()), &all); err != nil {
		o.t.Fatal(err)
	}
	found := map[string]float64{}
	note := func(name string, set attribute.Set, value float64) {
		var words []string
		for _, kv := range set.ToSlice() {
			o.bounded(name, kv)
			words = append(words, string(kv.Key)[strings.LastIndexByte(string(kv.Key), '.')+1:]+"="+kv.Value.String())
		}
		found[strings.TrimPrefix(name, "pulp.tasks.")+"{"+strings.Join(words, " ")+"}"] += value
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					note(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					note(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					note(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					note(m.Name, p.Attributes, float64(p.Count))
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					note(m.Name, p.Attributes, float64(p.Count))
				}
			default:
				o.t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	return found
}

// bounded fails unless an attribute has one of few values.
func (o *observer) bounded(name string, kv attribute.KeyValue) {
	o.t.Helper()
	keys := []attribute.Key{
		"pulp.task.name", "pulp.task.queue", "pulp.task.outcome", "pulp.tasks.batch", "pulp.tasks.reason",
	}
	value := kv.Value.String()
	_, err := uuid.Parse(value)
	if !slices.Contains(keys, kv.Key) || err == nil || strings.Contains(value, "resource") || strings.Contains(value, ":") {
		o.t.Errorf("%s has the attribute %s=%s", name, kv.Key, value)
	}
}

// span returns the one finished span of a name.
func (o *observer) span(name string) tracetest.SpanStub {
	o.t.Helper()
	var found []tracetest.SpanStub
	for _, s := range o.spans.GetSpans() {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		o.t.Fatalf("%d spans %q", len(found), name)
	}
	return found[0]
}

func attr(s tracetest.SpanStub, key attribute.Key) string {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

func TestOneTraceAcrossProcesses(t *testing.T) {
	t.Parallel()
	outer, inner := tasking.Define[string]("test.outer"), tasking.Define[noArgs]("test.inner")
	onEach(t, func(t *testing.T, b *bench) {
		api, other := observe(t), observe(t)
		apiQueue := b.queueWith(api.options(""))
		b.q = b.queueWith(other.options(""))
		var seen trace.SpanContext
		w := b.worker(worker.Options{Bindings: []tasking.Binding{
			outer.Bind(func(ctx context.Context, env *tasking.Env, _ string) error {
				seen = trace.SpanContextFromContext(ctx)
				_, err := inner.Dispatch(ctx, env.Queue, noArgs{}, nil)
				return errors.Join(err, pulperr.Public(pulperr.NotFound, "no such thing"))
			}),
			inner.Bind(func(context.Context, *tasking.Env, noArgs) error { return nil }),
		}})
		ctx, request := api.tracer.Tracer("test").Start(tasking.WithCorrelationID(t.Context(), "cid-1"), "request")
		state, err := trace.ParseTraceState("vendor=a b")
		if err != nil {
			t.Fatal(err)
		}
		ctx = trace.ContextWithSpanContext(ctx, request.SpanContext().WithTraceState(state))
		ticket, err := outer.Dispatch(ctx, apiQueue, "secret", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait(ticket.TaskID, models.Failed)

		dispatch, run := api.span("task dispatch test.outer"), other.span("task run test.outer")
		child, childRun := other.span("task dispatch test.inner"), other.span("task run test.inner")
		parent := request.SpanContext()
		for _, s := range []tracetest.SpanStub{dispatch, run, child, childRun} {
			if s.SpanContext.TraceID() != parent.TraceID() || s.Parent.SpanID() != parent.SpanID() {
				t.Errorf("span %q is a child of %v, want %v", s.Name, s.Parent, parent)
			}
			if got := s.SpanContext.TraceState().String(); got != "vendor=a b" {
				t.Errorf("span %q has the trace state %q", s.Name, got)
			}
			parent = s.SpanContext
		}
		if !run.Parent.IsRemote() || seen.SpanID() != run.SpanContext.SpanID() {
			t.Errorf("parent %v, the function's span %v, want remote, %v", run.Parent, seen, run.SpanContext)
		}
		if dispatch.SpanKind != trace.SpanKindProducer || run.SpanKind != trace.SpanKindConsumer {
			t.Errorf("kinds %s, %s", dispatch.SpanKind, run.SpanKind)
		}
		if run.Status.Code != codes.Error || run.Status.Description != "no such thing" {
			t.Errorf("status = %+v", run.Status)
		}
		want := []string{"test.outer", ticket.TaskID.String(), "1", "failed", "cid-1"}
		var got []string
		for _, key := range []attribute.Key{
			"pulp.task.name", "pulp.task.id", "pulp.task.attempt", "pulp.task.outcome", "pulp.correlation_id",
		} {
			got = append(got, attr(run, key))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A host may have traces of its own and give the library no provider.
func TestTraceIsPassedOnWithoutProvider(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	o := observe(t)
	look := tasking.Define[noArgs]("test.look")
	var seen trace.SpanContext
	w := b.worker(worker.Options{Bindings: []tasking.Binding{look.Bind(
		func(ctx context.Context, _ *tasking.Env, _ noArgs) error {
			seen = trace.SpanContextFromContext(ctx)
			return nil
		})}})
	ctx, span := o.tracer.Tracer("test").Start(t.Context(), "request")
	err := b.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := look.Dispatch(ctx, b.q.In(tx.DB), noArgs{}, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RunPending(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen.SpanID() != span.SpanContext().SpanID() || !seen.IsRemote() {
		t.Errorf("the function's trace is %v, want %v", seen, span.SpanContext())
	}
}

func TestMetricsTellWhatBecomesOfTasks(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := setup(t, dbURL, redisURL)
		o := observe(t)
		b.q = b.queueWith(o.options(b.redisURL))
		flaky := tasking.Define[noArgs]("test.flaky")
		reaped := b.deadTask()
		b.run(worker.Options{TTL: 600 * time.Millisecond, Bindings: []tasking.Binding{flaky.Bind(
			func(_ context.Context, env *tasking.Env, _ noArgs) error {
				if env.Task.Attempt == 1 {
					return tasking.Retry(errFlaky, 0)
				}
				return nil
			})}})
		b.wait(reaped, models.Failed)
		on := func(name string) blockArgs { return blockArgs{Name: name, Exclusive: []string{"resource"}} }
		done, failed := b.dispatch(on("done")), b.dispatch(on("failed"))
		b.begins("done")
		b.end("done", nil)
		b.wait(done, models.Completed)
		b.begins("failed")
		waiting := b.dispatch(on("waiting"))
		for range 2 { // the second one changes nothing
			if _, err := b.q.Cancel(t.Context(), waiting); err != nil {
				t.Fatal(err)
			}
		}
		b.end("failed", errFlaky)
		b.wait(failed, models.Failed)
		running := b.dispatch(on("running"))
		b.begins("running")
		if _, err := b.q.Cancel(t.Context(), running); err != nil {
			t.Fatal(err)
		}
		b.wait(running, models.Canceled)
		ticket, err := flaky.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.wait(ticket.TaskID, models.Completed)
		refused := &tasking.DispatchOptions{Group: &group.Group{ID: uuid.New()}} // there is no such group
		if _, err := b.block.Dispatch(t.Context(), b.q, blockArgs{}, refused); !errors.Is(err, pulperr.NotFound) {
			t.Fatalf("Dispatch() = %v, want NotFound", err)
		}
		before := o.points()["duplicates{}"]
		if err := worker.Announce(t.Context(), b.q, done, 7); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the duplicate's end", func() bool { return o.points()["duplicates{}"] > before })
		checkPoints(t, o.points())
	})
}

// deadTask dispatches a task and has a worker claim it that does not live.
func (b *bench) deadTask() uuid.UUID {
	b.t.Helper()
	id := b.dispatch(blockArgs{Name: "reaped", Exclusive: []string{"resource"}})
	b.deadWorker(*b.claim(id).WorkerID, 200*time.Millisecond)
	return id
}

// deadWorker registers a worker that does not live.
func (b *bench) deadWorker(id uuid.UUID, ttl time.Duration) {
	b.t.Helper()
	ctx := b.t.Context()
	row := &models.Worker{
		Name: "dead", Kind: worker.KindWorker, Versions: map[string]string{}, TTL: int(ttl.Milliseconds()),
		LastHeartbeat: models.Now(),
	}
	row.ID, row.Created, row.Updated = id, models.Now(), models.Now()
	err := b.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewInsert().Model(row).Exec(ctx)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func checkPoints(t *testing.T, points map[string]float64) {
	t.Helper()
	want := map[string]float64{
		"dispatched{name=test.block outcome=ready}":    3, // done or failed is blocked, and waiting
		"dispatched{name=test.block outcome=blocked}":  2,
		"dispatched{name=test.flaky outcome=ready}":    1,
		"dispatched{name=test.block outcome=error}":    1,
		"started{name=test.block queue=default}":       3,
		"started{name=test.flaky queue=default}":       2,
		"wait.duration{name=test.block queue=default}": 3,
		"wait.duration{name=test.flaky queue=default}": 1,
		"finished{name=test.block outcome=completed}":  1,
		"finished{name=test.block outcome=failed}":     2,
		"finished{name=test.block outcome=canceled}":   2,
		"finished{name=test.flaky outcome=retried}":    1,
		"finished{name=test.flaky outcome=completed}":  1,
		"run.duration{name=test.block outcome=failed}": 1,
		"reaped_workers{}":                             1,
	}
	for name, value := range want {
		if points[name] != value {
			t.Errorf("%s = %v, want %v", name, points[name], value)
		}
	}
	for _, which := range []string{"dispatch", "claim", "finish"} {
		if points["batch.size{batch="+which+"}"] == 0 {
			t.Errorf("no batches of kind %s", which)
		}
	}
	for name, value := range points {
		if strings.HasPrefix(name, "repairs") || strings.HasPrefix(name, "fenced") {
			t.Errorf("%s = %v, want none", name, value)
		}
	}
	if t.Failed() {
		t.Log(points)
	}
}

func TestGaugesTellWhatWaits(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		o := observe(t)
		b.q = b.queueWith(o.options(""))
		b.deadTask()
		b.dispatch(blockArgs{Name: "blocked", Exclusive: []string{"resource"}})
		b.dispatch(blockArgs{Name: "ready"})
		later := b.dispatch(blockArgs{Name: "later"})
		stuck := b.dispatch(blockArgs{Name: "stuck"})
		if _, err := worker.Claim(t.Context(), b.q, stuck); err != nil {
			t.Fatal(err)
		}
		ago := models.Now().Add(-time.Hour)
		b.exec("UPDATE core_task SET not_before = ? WHERE pulp_id = ?", models.Now().Add(time.Hour), later)
		b.exec("UPDATE core_task SET unblocked_at = ? WHERE unblocked_at IS NOT NULL AND state = 'waiting'", ago)
		b.exec(`UPDATE core_task SET state = 'canceling', cancel_requested_at = ?,
			worker_id = (SELECT pulp_id FROM core_worker) WHERE pulp_id = ?`, ago, stuck)
		got := o.points()
		for name, value := range map[string]float64{
			"ready": 1, "blocked": 1, "delayed": 1, "running": 2, "stuck": 1,
		} {
			if name += "{queue=default}"; got[name] != value {
				t.Errorf("%s = %v, want %v", name, got[name], value)
			}
		}
		if age := got["ready_age{queue=default}"]; age < 3600 || age > 3700 {
			t.Errorf("the oldest ready task is %v s old, want 3600", age)
		}
		if n, ok := got["ready{queue=immediate}"]; !ok || n != 0 {
			t.Errorf("ready immediate tasks = %v, %t, want 0", n, ok)
		}
		b.dispatch(blockArgs{Name: "another"})
		if n := o.points()["ready{queue=default}"]; n != 1 {
			t.Errorf("the database was asked again at once: %v", n)
		}
	})
}

func (b *bench) exec(statement string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Bun().NewRaw(statement, args...).Exec(context.WithoutCancel(b.t.Context())); err != nil {
		b.t.Fatal(err)
	}
}

func TestClosedQueueIsNotRead(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	o := observe(t)
	q := b.queueWith(o.options(""))
	if err := errors.Join(q.Close(), q.Close()); err != nil {
		t.Fatal(err)
	}
	if got := o.points(); len(got) != 0 {
		t.Errorf("points = %v", got)
	}
}

// lines keeps what is logged.
type lines struct {
	slog.Handler
}

func (l lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	l.Handler = l.Handler.WithAttrs(attrs)
	return l
}

// Handle adds the trace as a host's handler would.
func (l lines) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()))
	}
	return l.Handler.Handle(ctx, r)
}

func TestLogSaysWhichTask(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	o := observe(t)
	var out strings.Builder // RunPending logs from one goroutine at a time
	opts := o.options("")
	opts.Log = slog.New(lines{Handler: slog.NewTextHandler(&out, nil)})
	b.q = b.queueWith(opts)
	say := tasking.Define[noArgs]("test.say")
	w := b.worker(worker.Options{Bindings: []tasking.Binding{say.Bind(
		func(ctx context.Context, env *tasking.Env, _ noArgs) error {
			env.Log.InfoContext(ctx, "hello")
			return nil
		})}})
	members, err := b.q.NewGroup(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	ctx := tasking.WithCorrelationID(t.Context(), "cid-1")
	ticket, err := say.Dispatch(ctx, b.q, noArgs{}, &tasking.DispatchOptions{Group: members})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RunPending(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("task_id=%s task=test.say attempt=1 correlation_id=cid-1 task_group_id=%s", ticket.TaskID, members.ID)
	traceID := o.span("task run test.say").SpanContext.TraceID().String()
	for _, message := range []string{"hello", "task has ended"} {
		found := false
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, message) {
				found = strings.Contains(line, want) && strings.Contains(line, "trace_id="+traceID)
			}
		}
		if !found {
			t.Errorf("%q is not logged with %s and its trace:\n%s", message, want, out.String())
		}
	}
}
