Tasks can run in processes of their own, which may crash without harm and are killed when a canceled task does not stop. Tasks
that do not stop are reported with the stacks of their goroutines.
