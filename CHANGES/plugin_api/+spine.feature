Plugins are values that a host passes to `pulpcore.Open`; nothing is discovered or registered globally.
