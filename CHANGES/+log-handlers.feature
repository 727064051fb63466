`LOGGING` has handlers: standard error, standard output, files and handlers that a host or a plugin registers by name, each with a
level, a format and loggers of its own. They are added without replacing others, and every record has the name of its logger:
`pulpcore.tasking`, `pulpcore.content`, the name of a task and so on.
