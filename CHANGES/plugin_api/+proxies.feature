`pulpcore.ProxyConfig` renders configurations of nginx and Apache from settings and plugins, see package `webserver/proxyconf`. A plugin adds
headers at its paths with `Plugin.ProxyOverrides` and lines of its own with `Plugin.ProxySnippets`. `webserver.ForwardingHeaders` lists the
headers that only a proxy may set.
