`webserver` is a new package with the limits, origins and headers that stand between a network and a handler. `App.Serve` and
`App.ServeOn` serve with the limits of the settings; `App.Limits` and `App.Origins` are for hosts with a server or pages of their own.
`rest.Options` and `content.Options` have `Limits` and `Origins`.
