-- The trace that a task was dispatched in: W3C's traceparent, and its tracestate behind a blank if there is one.
ALTER TABLE core_task ADD COLUMN trace_context TEXT;
