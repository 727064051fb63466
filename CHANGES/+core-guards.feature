Added the content guards of Pulp's core below `contentguards/core/`: `rbac` (accounts that `Options.Authorizer` permits, by default
superusers), `header` (a header
in base64, with an optional jq filter), `content_redirect` (signed URLs that expire) and `composite` (what one of its guards permits; a
cycle is refused). The first migration has changed: databases of earlier, unreleased versions cannot be used.
