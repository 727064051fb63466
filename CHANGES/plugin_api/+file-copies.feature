`rest.File.CopyTo` and `models.ArtifactFromFile` are for packages that work with names of files.
