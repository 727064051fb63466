// Package models holds the rows of every table, the types that plugins define on top of them, and the operations that
// keep them consistent, on SQLite and on Postgres alike.
//
// A plugin embeds a master ([Content], [Repository], [Remote], …) in a struct of its own and names it with [Define].
// The [Type] that Define returns reads and writes whole rows, although the shared columns are in one table and the
// plugin's own in another.
//
// # Where to find an operation
//
//   - On rows of one type: a method of its [Type], as in Files.Get(ctx, db, ref).
//   - On a row of any type, or on several tables: a function that takes the handle, as in [Create], [CreateVersion],
//     [SaveContents] or [Migrate].
//   - On the handle itself: a method of [DB]. A handle is bound to a [Domain], and perhaps to a transaction, a task and
//     a store. It has no methods that read or write rows.
//
// A [Ref] names a row of one plugin's type. Where a row of any type is meant, as in [LatestVersion] and in the columns
// of the masters, its key is a uuid.UUID.
package models
