package engine

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// scope is the instrumentation scope of spans and metrics.
const scope = "github.com/pulpgo/pulpcore/tasking"

// Telemetry makes the spans and metrics of a queue and its workers. A queue without providers has none, and all methods
// may be called on nil. Attributes of metrics have few values: names of tasks and queues and the constants below; never
// an id, a resource or a text that users choose.
type Telemetry struct {
	tracer trace.Tracer
	instruments
	backlog *backlogGauges
	reading metric.Registration // of the backlog
}

// AttemptResult is how an attempt to execute a task went: the final state of the task, or one of these.
type AttemptResult string

// How an attempt ended that did not end its task.
const (
	ResultRetried   AttemptResult = "retried"   // the task waits for its next attempt
	ResultFenced    AttemptResult = "fenced"    // the task had been taken from the worker
	ResultUnstored  AttemptResult = "unstored"  // the database did not take its end
	ResultAbandoned AttemptResult = "abandoned" // its function does not return
)

// Where batches are written.
const (
	batchDispatch = "dispatch"
	BatchClaim    = "claim"
	BatchFinish   = "finish"
)

// Why a task is delivered again.
const (
	RelayMissing  = "missing"  // Redis had no message about it
	RelayReplaced = "replaced" // no worker would have got the message that Redis had
)

// What the sweep repairs.
const (
	repairStranded = "stranded" // a task that waited for nothing
	repairOrphan   = "orphan"   // a reservation of a task that had ended
)

const (
	nameKey    = attribute.Key("pulp.task.name")
	queueKey   = attribute.Key("pulp.task.queue")
	outcomeKey = attribute.Key("pulp.task.outcome")
	batchKey   = attribute.Key("pulp.tasks.batch")
	reasonKey  = attribute.Key("pulp.tasks.reason")

	// These are of spans only.
	idKey      = attribute.Key("pulp.task.id")
	attemptKey = attribute.Key("pulp.task.attempt")
	groupKey   = attribute.Key("pulp.task.group_id")
	cidKeyOTel = attribute.Key("pulp.correlation_id")
	errorKey   = attribute.Key("error.type")
)

// newTelemetry returns nil if there is no provider.
func newTelemetry(db *models.DB, tracer trace.TracerProvider, meter metric.MeterProvider) (*Telemetry, error) {
	if tracer == nil && meter == nil {
		return nil, nil
	}
	if tracer == nil {
		tracer = nooptrace.NewTracerProvider()
	}
	if meter == nil {
		meter = noopmetric.NewMeterProvider()
	}
	t := &Telemetry{tracer: tracer.Tracer(scope), backlog: &backlogGauges{db: db}}
	m := meter.Meter(scope)
	err := t.open(m)
	if err == nil {
		t.reading, err = t.backlog.register(m)
	}
	return t, taskdb.Wrap(err, "instruments")
}

// close ends the reading of the database.
func (t *Telemetry) close() error {
	if t == nil {
		return nil
	}
	return t.reading.Unregister()
}

// dispatch calls fn, which stores the task of s, within a span that the execution of the task becomes a child of.
func (t *Telemetry) dispatch(
	ctx context.Context, s *Spec, fn func(context.Context, *Spec) (models.TaskState, error),
) (models.TaskState, error) {
	if t == nil {
		// A host without a provider here may have spans of its own, and the execution of the task belongs to their trace.
		s.Row.Trace = TraceOf(ctx)
		return fn(ctx, s)
	}
	ctx, span := t.tracer.Start(ctx, "task dispatch "+s.Row.Name, trace.WithSpanKind(trace.SpanKindProducer))
	defer span.End()
	s.Row.Trace = TraceOf(ctx)
	if span.IsRecording() {
		span.SetAttributes(nameKey.String(s.Row.Name), queueKey.String(s.Row.Queue), idKey.String(s.Row.ID.String()))
		span.SetAttributes(optional(s.Row.CID, s.Row.Group)...)
	}
	state, err := fn(ctx, s)
	if err != nil {
		fail(span, err)
		t.dispatches.Add(ctx, 1, attributes(nameKey.String(s.Row.Name), outcomeKey.String("error")))
	}
	return state, err
}

// dispatched counts a task that was stored.
func (t *Telemetry) dispatched(ctx context.Context, s *Spec, done taskdb.InsertedTask) {
	if t == nil {
		return
	}
	how := "blocked"
	switch {
	case done.State == string(models.Canceled):
		how = "canceled"
	case done.State == string(models.Running):
		how = "inline"
	case done.Ready:
		how = "ready"
	}
	t.dispatches.Add(ctx, 1, attributes(nameKey.String(s.Row.Name), outcomeKey.String(how)))
}

// Starting returns the context of an attempt to execute a task, in the trace of its dispatch.
func (t *Telemetry) Starting(ctx context.Context, c *taskdb.Claimed) context.Context {
	ctx = t.within(ctx, "task run ", c)
	if t == nil {
		return ctx
	}
	set := attributes(nameKey.String(c.Name), queueKey.String(c.Queue))
	t.starts.Add(ctx, 1, set)
	// Later attempts would count the time of the earlier ones, and their pauses, as a wait for a worker.
	if c.Attempt == 1 && c.StartedAt != nil && c.UnblockedAt != nil {
		t.waits.Record(ctx, c.StartedAt.Sub(c.Created).Seconds(), set)
		t.grants.Record(ctx, c.StartedAt.Sub(*c.UnblockedAt).Seconds(), set)
	}
	return ctx
}

// Reaping is Starting for a task whose worker is dead and that is only ended.
func (t *Telemetry) Reaping(ctx context.Context, c *taskdb.Claimed) context.Context {
	return t.within(ctx, "task reap ", c)
}

func (t *Telemetry) within(ctx context.Context, verb string, c *taskdb.Claimed) context.Context {
	ctx = WithTrace(ctx, c.Trace)
	if t == nil {
		return ctx
	}
	ctx, span := t.tracer.Start(ctx, verb+c.Name, trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(nameKey.String(c.Name), queueKey.String(c.Queue), idKey.String(c.ID.String()),
			attemptKey.Int(c.Attempt))
		span.SetAttributes(optional(c.LoggingCID, c.TaskGroupID)...)
	}
	return ctx
}

// Ended ends the span of an attempt. err is what the function returned.
func (t *Telemetry) Ended(
	ctx context.Context, c *taskdb.Claimed, began time.Time, how AttemptResult, err error,
) {
	if t == nil {
		return
	}
	t.ReapEnded(ctx, c, how, err)
	t.runs.Record(ctx, since(began), attributes(nameKey.String(c.Name), outcomeKey.String(string(how))))
}

// ReapEnded ends the span that Reaping began and counts the result.
func (t *Telemetry) ReapEnded(ctx context.Context, c *taskdb.Claimed, how AttemptResult, err error) {
	if t == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		span.SetAttributes(outcomeKey.String(string(how)))
		if how != AttemptResult(models.Completed) && how != AttemptResult(models.Canceled) {
			fail(span, err)
		}
	}
	span.End()
	switch how {
	case ResultFenced:
		t.fenced.Add(ctx, 1, attributes(nameKey.String(c.Name)))
	case ResultUnstored, ResultAbandoned: // it has not ended
	default:
		t.finishes.Add(ctx, 1, attributes(nameKey.String(c.Name), outcomeKey.String(string(how))))
	}
}

// Canceled counts a task that was canceled before it began.
func (t *Telemetry) Canceled(ctx context.Context, task *models.Task) {
	if t != nil {
		t.finishes.Add(ctx, 1, attributes(nameKey.String(task.Name), outcomeKey.String(string(models.Canceled))))
	}
}

// Batch records how many tasks were written together.
func (t *Telemetry) Batch(ctx context.Context, which string, size int) {
	if t != nil {
		t.batches.Record(ctx, int64(size), attributes(batchKey.String(which)))
	}
}

// Duplicate counts a claim that found no task to claim.
func (t *Telemetry) Duplicate(ctx context.Context) {
	if t != nil {
		t.duplicates.Add(ctx, 1)
	}
}

// Relayed counts a task that was delivered again.
func (t *Telemetry) Relayed(ctx context.Context, reason string) {
	if t != nil {
		t.relays.Add(ctx, 1, attributes(reasonKey.String(reason)))
	}
}

// RedisLost counts that Redis was found to be new or to have lost its data.
func (t *Telemetry) RedisLost(ctx context.Context) {
	if t != nil {
		t.resets.Add(ctx, 1)
	}
}

// Repaired counts what the sweep had to repair.
func (t *Telemetry) Repaired(ctx context.Context, stranded int, orphans int64) {
	if t != nil {
		t.repairs.Add(ctx, int64(stranded), attributes(reasonKey.String(repairStranded)))
		t.repairs.Add(ctx, orphans, attributes(reasonKey.String(repairOrphan)))
	}
}

// Reaped counts a worker that was declared dead.
func (t *Telemetry) Reaped(ctx context.Context) {
	if t != nil {
		t.reaps.Add(ctx, 1)
	}
}

// attributes are those of one measurement.
func attributes(list ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(list...))
}

// optional are attributes of spans that not every task has.
func optional[ID interface{ String() string }](cid string, group *ID) []attribute.KeyValue {
	var list []attribute.KeyValue
	if cid != "" {
		list = append(list, cidKeyOTel.String(cid))
	}
	if group != nil {
		list = append(list, groupKey.String((*group).String()))
	}
	return list
}

// fail marks a span as failed, with the public message of err: the log has the rest.
func fail(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	span.SetStatus(codes.Error, pulperr.Message(err))
	if kind, ok := errors.AsType[pulperr.Kind](err); ok {
		span.SetAttributes(errorKey.String(kind.Error()))
	}
}
