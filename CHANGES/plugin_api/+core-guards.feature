`content/guards` has the content guards of the core; `guards.ContentRedirect.SignURL` signs a URL. `content.Options.Authorize` decides for
guards that leave the decision to the host, which ask it by `content.Request.Authorize`. A field of type `[]uuid.UUID` with a
`rest:"ref=…"` tag is a list of references on the wire. `rest.ViewSet.Class` names a resource in the API document. `models.CoreModels` has
types that belong to no plugin.
`rest.Authorizer` is asked about downloads behind a guard of type `core.rbac` as `pulpcore.DownloadOperation`.
