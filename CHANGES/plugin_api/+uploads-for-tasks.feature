`rest.Upload.TemporaryFile` keeps an upload for a task. It is made of `storage.Writer.CommitTemp` and `models.CommitTemporaryFile`.
