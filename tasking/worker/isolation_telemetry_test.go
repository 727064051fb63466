package worker_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// isolatedSightings names the file into which the process of a task writes what it reported.
const isolatedSightings = "PULP_TASKING_ISOLATED_SIGHTINGS"

// sightings are what the process of a task reports.
type sightings struct {
	path   string
	spans  *tracetest.InMemoryExporter
	tracer *sdktrace.TracerProvider
	reader *sdkmetric.ManualReader
	meter  *sdkmetric.MeterProvider
}

// sighted is what is left of them in the file.
type sighted struct {
	Spans   []sightedSpan
	Metrics []string
}

type sightedSpan struct{ Name, Trace, Parent string }

func newSightings(path string) *sightings {
	s := &sightings{path: path, spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	s.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	s.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	return s
}

func (s *sightings) write(ctx context.Context) error {
	if s.path == "" {
		return nil
	}
	var seen sighted
	for _, span := range s.spans.GetSpans() {
		seen.Spans = append(seen.Spans,
			sightedSpan{span.Name, span.SpanContext.TraceID().String(), span.Parent.SpanID().String()})
	}
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(ctx, &all); err != nil {
		return err
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			seen.Metrics = append(seen.Metrics, m.Name)
		}
	}
	text, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	return os.WriteFile(s.path, text, 0o600)
}

// TestIsolatedTaskIsCountedOnce looks at what the worker and the process of a task report.
func TestIsolatedTaskIsCountedOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := setup(t, url, "")
		o := observe(t)
		b.q = b.queueWith(o.options(""))
		file := filepath.Join(t.TempDir(), "seen")
		b.run(worker.Options{
			Bindings: []tasking.Binding{odd.BindResult(oddBody).With(isolated)},
			Command: func() *exec.Cmd {
				cmd := isolatedCommand(url)()
				cmd.Env = append(cmd.Env, isolatedSightings+"="+file)
				return cmd
			},
		})
		b.wait(b.odd("dispatch", ""), models.Completed)
		points := o.points()
		for _, name := range []string{"started", "wait.duration", "start.duration"} {
			if n := points[name+"{name=test.odd queue=default}"]; n != 1 {
				t.Errorf("%s = %v, want 1", name, n)
			}
		}
		run := o.span("task run test.odd") // which has ended

		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var seen sighted
		if err := json.Unmarshal(text, &seen); err != nil {
			t.Fatal(err)
		}
		want := []sightedSpan{{
			"task dispatch test.within", run.SpanContext.TraceID().String(), run.SpanContext.SpanID().String(),
		}}
		if !slices.Equal(seen.Spans, want) {
			t.Errorf("spans of the process = %v, want %v", seen.Spans, want)
		}
		if !slices.Contains(seen.Metrics, "pulp.tasks.dispatched") {
			t.Errorf("the process does not count what it dispatches: %v", seen.Metrics)
		}
		for _, name := range []string{"pulp.tasks.started", "pulp.tasks.wait.duration", "pulp.tasks.start.duration"} {
			if slices.Contains(seen.Metrics, name) {
				t.Errorf("the process reports %s as well", name)
			}
		}
	})
}
