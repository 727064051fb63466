`download.Request` has `KeepTrying`, `Admit` and `MaxWait`, `download.Result` has `Encoding` and `Decoded`, `download.Config` has
`MinRate`, and `download.Client.Share` runs work once for several callers. `tasking.Env.FetchRequest` downloads with headers and
a size limit. `models.ArtifactsOf` returns the artifacts that units have. `content.Options` has `MaxHeldRange`.
