`pulpcore.Plugin` became a value that a host passes to `pulpcore.Open`; nothing is discovered or registered globally.
