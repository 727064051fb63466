package apitest

import (
	"net/http"
	"testing"
)

// visitGuards makes the content guards that every App has, if the API serves them.
func visitGuards(t *testing.T, w *walk) {
	t.Helper()
	const core = "contentguards_core_"
	if !w.has(core + "composite_create") {
		return
	}
	hrefs := map[string]string{
		"rbac":             w.create(t, core+"rbac", nil),
		"content_redirect": w.create(t, core+"content_redirect", nil),
		"header": w.create(t, core+"header", map[string]any{
			"header_name": "X-Key", "header_value": "v", "jq_filter": ".a",
		}),
	}
	hrefs["composite"] = w.create(t, core+"composite", map[string]any{"guards": []any{hrefs["rbac"], hrefs["header"]}})
	for _, name := range []string{"rbac", "content_redirect", "header", "composite"} {
		w.change(t, core+name, hrefs[name], http.StatusOK)
	}
	for _, name := range []string{"composite", "rbac", "content_redirect", "header"} {
		w.delete(t, core+name, hrefs[name], http.StatusNoContent)
	}
}
