Content can be created from a `file_url`, which a task downloads; user and password in the URL are used for it.
