`fileserver proxy nginx` and `fileserver proxy apache` print a configuration of a reverse proxy for the settings: locations of the API, the
content app and all routes of plugins, time limits, forwarding headers, and client certificates for `certguard`.
