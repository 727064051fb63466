`content.App.Idle` and `App.WaitForFetches` wait until what was fetched on demand is stored, without refusing new fetches.
