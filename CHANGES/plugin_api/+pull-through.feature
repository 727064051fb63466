`models.RemoteUnit` is for units whose files are fetched and verified together, by a sync and by the content app; it works with a
`models.Pull` and returns each `models.PulledFile`. `content.PullThrough` with `models.PullsFrom` makes distributions serve the
units of their remote; `content.Request.FetchRemote` reads metadata of that remote.
