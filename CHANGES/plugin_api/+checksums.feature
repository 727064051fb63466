`models.RequireChecksums`, `ReportChecksums` and `FixChecksums` compare and mend the digests of artifacts after a change of
`ALLOWED_CONTENT_CHECKSUMS`, and `pulpcore.Options.IgnoreChecksums` opens an App that calls them. `RepositoryVersion.Files` leaves
out digests that are not allowed.
