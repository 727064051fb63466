package tasking_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pulpgo/pulpcore/tasking"
)

// A host makes the providers, with the exporters it likes, gives them to the queue and shuts them down at its end.
func ExampleQueueOptions_telemetry() {
	ctx := context.Background()
	exporter := tracetest.NewInMemoryExporter() // otlptracehttp.New(ctx), for one that others can read
	tracer := trace.NewTracerProvider(trace.WithSyncer(exporter))
	defer func() { _ = tracer.Shutdown(ctx) }()
	reader := metric.NewManualReader() // metric.NewPeriodicReader(exporter)
	meter := metric.NewMeterProvider(metric.WithReader(reader))
	defer func() { _ = meter.Shutdown(ctx) }()

	if err := greetOnce(&tasking.QueueOptions{Tracer: tracer, Meter: meter}); err != nil {
		fmt.Println(err)
		return
	}
	for _, span := range exporter.GetSpans() {
		fmt.Println(span.SpanKind, span.Name)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
			fmt.Println(m.Name, sum.DataPoints[0].Value)
		}
	}
	// Unordered output:
	// producer task dispatch example.greet
	// consumer task run example.greet
	// pulp.tasks.dispatched 1
	// pulp.tasks.started 1
	// pulp.tasks.finished 1
}
