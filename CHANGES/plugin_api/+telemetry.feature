`pulpcore.Options` and `tasking.QueueOptions` take OpenTelemetry providers, `Tracer` and `Meter`; the trace of a dispatch
goes on in the task's context. `tasking.Queue.Check` returns what must not be in the database.
