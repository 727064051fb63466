// Package models is what the database knows: the rows of every table, the types that plugins define on top of them,
// and the operations that keep them consistent.
//
// A plugin embeds a master ([Content], [Repository], [Remote], …) in a struct of its own and names it with [Define];
// the [Type] it gets reads and writes such rows whole, although the shared columns live in one table and the plugin's
// in another. A [DB] is bound to one [Domain], so no query can see another tenant's rows. Everything works alike on
// SQLite and Postgres.
package models
