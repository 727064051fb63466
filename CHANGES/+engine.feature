Tasks are dispatched, claimed and ended in batches, which makes a small server several times as fast. New are `MaxAttempts`
and `Retry`, `BindingOptions.Timeout`, least versions of plugins, `Env.CompleteTx`, workers that end when all is done, and
the setting `TASK_PREFER_DEFER`.
