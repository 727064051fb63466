`rest.MultipleArtifact` and `rest.NoArtifact` create content with several files and with none, `rest.SaveContent` ends other
creators and actions that make content, and `rest.FileInitializer` and the function of `rest.SingleArtifact` complete a unit from
its file: `rest.File` has path, name, artifact and bytes. `rest.Upload` has `Name`, `Open` and `File`.
