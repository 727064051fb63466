Added pull-through caching for plugins that support it: their distributions have a `remote`, and what only the remote has is
fetched and verified at the first request, served, and added to the distribution's repository.
