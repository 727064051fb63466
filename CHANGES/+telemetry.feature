Added metrics and traces of tasks, for hosts that pass OpenTelemetry providers, and `fileserver check`, which looks for impossible states of tasks.
