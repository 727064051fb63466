`ViewSet.Update`, a `rest.Updater` made by `rest.Update`, reads fields that are in requests only from PUT and PATCH. `Resource.Under` and `Resource.Parent`
serve a resource below the rows of a ViewSet. `Serializer.WithHrefs` takes hrefs of an API as references. `models.CheckOverwrite` and
`NewContent.KeepPlaces` refuse units that take the place of others; `Registry.CheckTexts` checks a row before a task saves it.
