`models.Check`, `rest.Check`, `content.Check` and `tasking.CheckBindings` return every fault of what plugins bring, without a
database. `pulpcore.Open` also refuses methods that are hooks by their name only, guards without `Permit`, two fields with one
json name, fields that would be dropped silently, and migrations that are not numbered from 0001 without gaps.
