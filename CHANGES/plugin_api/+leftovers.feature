`models.RemoveLeftovers` finishes the deletion of remotes and publications that a process which died had begun; `pulpcore.App`
calls it every hour. The columns `core_remoteartifact.remote_id` and `core_publishedartifact.publication_id` have no foreign key.
