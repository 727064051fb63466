`Options.Auth` is the authenticator of a host that has its own log-in.
