Added `rest.Resource` for rows without a master, `rest.Do` for operations with any method on a row or a list,
`rest.Create`, `rest.Computed`, `rest.CustomFilter`, uploads and answers with a task group.
