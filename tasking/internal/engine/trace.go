package engine

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceCarrier is a trace on its way through the database, as W3C writes it: a traceparent, and a tracestate behind a
// blank if there is one.
type traceCarrier struct{ parent, state string }

const (
	parentKey = "traceparent"
	stateKey  = "tracestate"
)

// Get implements [propagation.TextMapCarrier].
func (c *traceCarrier) Get(key string) string {
	switch key {
	case parentKey:
		return c.parent
	case stateKey:
		return c.state
	}
	return ""
}

// Set implements [propagation.TextMapCarrier].
func (c *traceCarrier) Set(key, value string) {
	switch key {
	case parentKey:
		c.parent = value
	case stateKey:
		c.state = value
	}
}

// Keys implements [propagation.TextMapCarrier].
func (c *traceCarrier) Keys() []string { return []string{parentKey, stateKey} }

// TraceOf returns the trace of ctx for the task's row; nil is none.
func TraceOf(ctx context.Context) *string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	var c traceCarrier
	propagation.TraceContext{}.Inject(ctx, &c)
	return new(strings.TrimSpace(c.parent + " " + c.state))
}

// WithTrace is the reverse of TraceOf: what runs with the context it returns belongs to the trace, also if this process
// makes no spans of its own.
func WithTrace(ctx context.Context, stored *string) context.Context {
	if stored == nil {
		return ctx
	}
	var c traceCarrier
	c.parent, c.state, _ = strings.Cut(*stored, " ")
	return propagation.TraceContext{}.Extract(ctx, &c)
}
