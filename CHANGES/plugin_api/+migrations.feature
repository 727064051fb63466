`pulpcore.WriteMigration`, `models.NextMigration` and `pulptest.Migrations` write the next migration of a plugin from the
difference between its types and its migrations, for both databases. `pulp:"index"` and `pulp:"index=name"` make indexes.
`Plugin.Migrations` takes an `embed.FS` with the folder `migrations` as it is.
