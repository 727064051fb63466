package rest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
)

func anonymously(r *http.Request) { r.Header.Del("Authorization") }

// TestFormsOfTimes has the forms that Pulp reads, in a filter and in a body.
func TestFormsOfTimes(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		made := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		b.completed("POST", "publications/file/file/", map[string]any{"repository": repo})
		_, err := b.db.Bun().NewUpdate().TableExpr("core_publication").Set("pulp_created = ?", made).Where("TRUE").Exec(t.Context())
		must(t, err)
		for _, text := range []string{
			"2026-03-04T05:06:07+0000", "2026-03-04T05:06:07+00:00", "2026-03-04T05:06:07+00", "2026-03-04T05:06:07Z",
			"2026-03-04T05:06:07", "2026-03-04 05:06:07", "2026-03-04 05:06:07+0000", "2026-03-04T05:06:07.000000+0000",
			"2026-03-04T05:06:07.000Z", "2026-03-04T07:36:07+0230", "2026-03-04T02:06:07-03", "2026-03-04 02:06:07-0300",
		} {
			for _, query := range []string{"pulp_created=", "pulp_created__range=2026-03-03T00:00:00%2B0000,"} {
				got := b.do("GET", "publications/?"+query+url.QueryEscape(text), nil).want(200)
				if n := got.get("count"); n != 1.0 {
					t.Errorf("%s%s: count = %v, want 1", query, text, n)
				}
			}
			b.completed("POST", "tasks/purge/", map[string]any{"finished_before": text})
		}
		for _, unescaped := range []string{"2026-03-04T05:06:07+0000", "2026-03-04%2005:06:07+00:00"} {
			if n := b.do("GET", "publications/?pulp_created="+unescaped, nil).want(200).get("count"); n != 1.0 {
				t.Errorf("pulp_created=%s with a plus that is not escaped: count = %v, want 1", unescaped, n)
			}
		}
		for _, text := range []string{
			"0001-01-01T00:00:00+1400", "9999-12-31T23:59:59-1400", "2026-03-04T05:06:07+00:0", "2026-03-04T", "T05:06:07",
			"2026-03-04T05:06:07+9999", "2026-02-30", "05:06:07", "",
		} {
			diff(t, b.do("POST", "tasks/purge/", map[string]any{"finished_before": text}).want(400).body, `{"finished_before":
				["Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."]}`)
			if text != "" {
				diff(t, b.do("GET", "publications/?pulp_created="+url.QueryEscape(text), nil).want(400).body,
					`{"pulp_created": ["Enter a valid date/time."]}`)
			}
		}
	})
}

func TestWhatAnybodyMayAsk(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		c := setupOn(t, b.db, &rest.Options{Auth: rest.BasicAuth(b.db, nil)})
		for _, path := range []string{"status/", "livez/", ""} {
			c.do("GET", path, nil, anonymously).want(200)
			c.do("OPTIONS", path, nil, anonymously).want(204)
			a := c.do("POST", path, map[string]any{}, anonymously).want(405)
			diff(t, a.body, `{"detail": "Method \"POST\" not allowed."}`)
			if got := a.header.Get("Allow"); got != "GET, HEAD, OPTIONS" {
				t.Errorf("POST %s: Allow = %q", path, got)
			}
		}
		for _, path := range []string{"tasks/", "artifacts/", "repositories/file/file/"} {
			for _, method := range []string{"GET", "POST", "PUT", "OPTIONS"} {
				c.do(method, path, nil, anonymously).want(401)
			}
		}
		if got := c.do("GET", "", nil, anonymously).str("tasks"); got != "http://example.com/pulp/api/v3/tasks/" {
			t.Errorf("the root says that tasks are at %q", got)
		}
	})
}

func TestDeleteTheOnlyVersion(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		const reason = "Cannot delete repository version. Repositories must have at least one repository version."
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		task := b.task("DELETE", repo+"versions/0/", nil)
		failure, _ := task.get("error").(map[string]any)
		description, _ := failure["description"].(string)
		if task.str("state") != string(models.Failed) || !strings.Contains(description, reason) {
			t.Errorf("task: %s", task.body)
		}
		b.do("GET", repo+"versions/0/", nil).want(200)
	})
}
