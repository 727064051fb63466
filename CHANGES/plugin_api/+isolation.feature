`tasking.BindingOptions`, `Env.MkdirTemp`, `Env.CreateTemp`, `Env.Command` and `tasking.Count` were added.
