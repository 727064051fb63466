`models.DB.Store` returns the store of a task's handle, so that `OnNewVersion` of a repository can publish the version.
`rest.Sync` takes checks of the repository and the arguments, which run before the task is dispatched.
