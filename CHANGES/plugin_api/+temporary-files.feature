`rest.Upload.Temporary` stores the file of a request as a temporary file for a task, with or without expected digests;
`models.CommitTemporaryFile` and `storage.Writer.CommitTemp` do so for bytes that were written already, and
`models.TemporaryFile.Open` reads them.
