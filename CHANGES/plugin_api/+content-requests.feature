A content route of a plugin asks the guard of a distribution by `content.App.Guarded` and answers with its error by `App.WriteError`.
A content guard can ask others by `content.Request.Ask`. `content.Options.GuardTimeout` limits how long a guard may take.
