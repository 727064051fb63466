`models.Replaceable` declares that units of a type may get other bytes, `models.FileConflictError` and `models.BytesGoneError` are
new, and so are `models.StraySweep`, `models.RemoveStray` and `stages.ContentSaver.OnError`. `models.SaveArtifacts` and
`models.AttachArtifact` take the store, `Artifact.Delete` a time, and `stages.ArtifactSaver` has an `Env`. Open refuses key columns
of types that cannot work (times, floats, JSON) and tables without the unique key that their type declares.
