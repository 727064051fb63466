`rest.AddContent` dispatches the task that adds units to a repository; `content.Options.AddContent` takes it for pulled units.
