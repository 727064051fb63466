`Plugin.LogHandlers` and `Options.LogHandlers` register log handlers, `App.Log` is the App's logger, and `deprecation.WarnIn` warns
in the log of an App, whose `LOGGING` decides. `Options.Log` gets records besides the handlers of `LOGGING`, whose levels of named loggers apply to it.
`settings.LogHandler`, `Logging.Handlers` and `LogOptions` describe handlers; `Set.OpenLog` opens the log that the settings describe, and
`Set.CheckLogHandlers` checks the names of registered ones.
