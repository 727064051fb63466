package tasking

import (
	"context"
	"errors"

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

// scope is what spans and metrics say they come from.
const scope = "github.com/pulpgo/pulpcore/tasking"

// telemetry makes the spans and metrics of a queue and its workers. A queue without providers has none, and all methods
// may be called on nil. What becomes an attribute of a metric is one of few: names of tasks and queues and the words
// below; never an id, a resource or anything that users choose.
type telemetry struct {
	tracer trace.Tracer
	instruments
	backlog *backlogGauges
	reading metric.Registration // of the backlog
}

// attemptResult is how an attempt to execute a task went: the final state of the task, or one of these.
type attemptResult string

const (
	resultRetried   attemptResult = "retried"   // the task waits for its next attempt
	resultFenced    attemptResult = "fenced"    // the task had been taken from the worker
	resultUnstored  attemptResult = "unstored"  // the database did not take its end
	resultAbandoned attemptResult = "abandoned" // its function does not return
)

// Where batches are written.
const (
	batchDispatch = "dispatch"
	batchClaim    = "claim"
	batchFinish   = "finish"
)

// Why a task is delivered again.
const (
	relayMissing  = "missing"  // Redis had no message about it
	relayReplaced = "replaced" // no worker would have got the message that Redis had
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
func newTelemetry(q *Queue, tracer trace.TracerProvider, meter metric.MeterProvider) (*telemetry, error) {
	if tracer == nil && meter == nil {
		return nil, nil
	}
	if tracer == nil {
		tracer = nooptrace.NewTracerProvider()
	}
	if meter == nil {
		meter = noopmetric.NewMeterProvider()
	}
	t := &telemetry{tracer: tracer.Tracer(scope), backlog: &backlogGauges{q: q}}
	m := meter.Meter(scope)
	err := t.open(m)
	if err == nil {
		t.reading, err = t.backlog.register(m)
	}
	return t, taskdb.Wrap(err, "instruments")
}

// close ends the reading of the database.
func (t *telemetry) close() error {
	if t == nil {
		return nil
	}
	return t.reading.Unregister()
}

// dispatch calls fn, which stores the task of s, within a span that the execution of the task becomes a child of.
func (t *telemetry) dispatch(
	ctx context.Context, s *spec, fn func(context.Context) (*Ticket, error),
) (*Ticket, error) {
	if t == nil {
		s.row.Trace = traceOf(ctx)
		return fn(ctx)
	}
	ctx, span := t.tracer.Start(ctx, "task dispatch "+s.row.Name, trace.WithSpanKind(trace.SpanKindProducer))
	defer span.End()
	s.row.Trace = traceOf(ctx)
	if span.IsRecording() {
		span.SetAttributes(nameKey.String(s.row.Name), queueKey.String(s.row.Queue), idKey.String(s.row.ID.String()))
		span.SetAttributes(optional(s.row.CID, s.row.Group)...)
	}
	ticket, err := fn(ctx)
	if err != nil {
		fail(span, err)
		t.dispatches.Add(ctx, 1, attributes(nameKey.String(s.row.Name), outcomeKey.String("error")))
	}
	return ticket, err
}

// dispatched counts a task that was stored.
func (t *telemetry) dispatched(ctx context.Context, s *spec, done taskdb.InsertedTask) {
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
	t.dispatches.Add(ctx, 1, attributes(nameKey.String(s.row.Name), outcomeKey.String(how)))
}

// starting returns the context of an attempt to execute a task, in the trace of its dispatch.
func (t *telemetry) starting(ctx context.Context, c *taskdb.Claimed) context.Context {
	ctx = t.within(ctx, "task run ", c)
	if t == nil {
		return ctx
	}
	set := attributes(nameKey.String(c.Name), queueKey.String(c.Queue))
	t.starts.Add(ctx, 1, set)
	if c.Attempt == 1 && c.StartedAt != nil && c.UnblockedAt != nil {
		t.waits.Record(ctx, c.StartedAt.Sub(c.Created).Seconds(), set)
		t.grants.Record(ctx, c.StartedAt.Sub(*c.UnblockedAt).Seconds(), set)
	}
	return ctx
}

// reaping is starting for a task whose worker is dead and that is only ended.
func (t *telemetry) reaping(ctx context.Context, c *taskdb.Claimed) context.Context {
	return t.within(ctx, "task reap ", c)
}

func (t *telemetry) within(ctx context.Context, verb string, c *taskdb.Claimed) context.Context {
	ctx = withTrace(ctx, c.Trace)
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

// ended ends the span of an attempt. err is what the function returned.
func (t *telemetry) ended(ctx context.Context, a *attempt, how attemptResult, err error) {
	if t == nil {
		return
	}
	t.reapEnded(ctx, a.task, how, err)
	t.runs.Record(ctx, since(a.began), attributes(nameKey.String(a.task.Name), outcomeKey.String(string(how))))
}

// reapEnded ends the span that reaping began and counts the result.
func (t *telemetry) reapEnded(ctx context.Context, c *taskdb.Claimed, how attemptResult, err error) {
	if t == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		span.SetAttributes(outcomeKey.String(string(how)))
		if how != attemptResult(models.Completed) && how != attemptResult(models.Canceled) {
			fail(span, err)
		}
	}
	span.End()
	switch how {
	case resultFenced:
		t.fenced.Add(ctx, 1, attributes(nameKey.String(c.Name)))
	case resultUnstored, resultAbandoned: // it has not ended
	default:
		t.finishes.Add(ctx, 1, attributes(nameKey.String(c.Name), outcomeKey.String(string(how))))
	}
}

// canceled counts a task that was canceled before it began.
func (t *telemetry) canceled(ctx context.Context, task *models.Task) {
	if t != nil {
		t.finishes.Add(ctx, 1, attributes(nameKey.String(task.Name), outcomeKey.String(string(models.Canceled))))
	}
}

// batch records how many tasks were written together.
func (t *telemetry) batch(ctx context.Context, which string, size int) {
	if t != nil {
		t.batches.Record(ctx, int64(size), attributes(batchKey.String(which)))
	}
}

// duplicate counts a claim that found nothing.
func (t *telemetry) duplicate(ctx context.Context) {
	if t != nil {
		t.duplicates.Add(ctx, 1)
	}
}

// relayed counts a task that was delivered again.
func (t *telemetry) relayed(ctx context.Context, reason string) {
	if t != nil {
		t.relays.Add(ctx, 1, attributes(reasonKey.String(reason)))
	}
}

// redisLost counts that Redis was found to be new or to have lost its data.
func (t *telemetry) redisLost(ctx context.Context) {
	if t != nil {
		t.resets.Add(ctx, 1)
	}
}

// repaired counts what the sweep had to repair.
func (t *telemetry) repaired(ctx context.Context, stranded int, orphans int64) {
	if t != nil {
		t.repairs.Add(ctx, int64(stranded), attributes(reasonKey.String(repairStranded)))
		t.repairs.Add(ctx, orphans, attributes(reasonKey.String(repairOrphan)))
	}
}

// reaped counts a worker that was given up for dead.
func (t *telemetry) reaped(ctx context.Context) {
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

// fail marks a span as failed, in words that anybody may read: the log has the others.
func fail(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	span.SetStatus(codes.Error, pulperr.Message(err))
	if kind, ok := errors.AsType[pulperr.Kind](err); ok {
		span.SetAttributes(errorKey.String(kind.Error()))
	}
}
