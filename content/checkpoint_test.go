package content_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/models"
)

func TestCheckpoints(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		r := s.repo()
		at := func(text string) time.Time {
			made, err := time.Parse("20060102T150405Z", text)
			s.must(err)
			return made
		}
		made := []string{"20250101T000000Z", "20250301T101500Z", "20250301T101500Z", "20250302T000000Z"}
		for i, text := range made {
			u, _ := s.unit(fmt.Sprintf("unit %d", i), new(""))
			v := s.version(r, u)
			p := &Publication{}
			p.RepositoryVersionID, p.Checkpoint = v.ID, true
			s.must(models.Publish(t.Context(), s.db, s.store, p, func(n *models.NewPublication) error {
				return n.Metadata(t.Context(), "dir/f", strings.NewReader(fmt.Sprint(i)))
			}))
			_, err := s.db.Bun().NewUpdate().TableExpr("core_publication").Where("pulp_id = ?", p.ID).
				Set("pulp_created = ?", at(text).Add(time.Duration(i)*time.Millisecond)).Exec(t.Context())
			s.must(err)
		}
		d := s.distribute("cp", r)
		d.Checkpoint = true
		s.must(distributions.Update(t.Context(), s.db, d, "checkpoint"))
		future := time.Now().UTC().Add(time.Hour).Format("20060102T150405Z")
		for _, tt := range []struct {
			path   string
			status int
			want   string // body or where it leads
		}{
			{"20250101T000000Z/dir/f", 200, "0"},
			{"20250301T101500Z/dir/f", 200, "2"}, // the last of one second
			{"20250302T000000Z/dir/f", 200, "3"},
			{"20250301T101459Z/dir/f", 301, "/pulp/content/cp/20250101T000000Z/dir/f"},
			{"20250301T101501Z/", 301, "/pulp/content/cp/20250301T101500Z/"},
			{"20250401T000000Z", 301, "/pulp/content/cp/20250302T000000Z/"},
			{"20250101T000000Z", 301, "/pulp/content/cp/20250101T000000Z/"},
			{"20250101T000000Z/dir", 301, "/pulp/content/cp/20250101T000000Z/dir/"},
			{"20241231T235959Z/", 404, ""},
			{"20250101T000000Z/none", 404, ""},
			{future + "/", 404, ""},
			{"2025/", 404, ""},
			{"20250101T000000.5Z/", 404, ""},
			{"dir/f", 404, ""},
		} {
			got := s.get("/pulp/content/cp/" + tt.path)
			text := got.body
			if got.StatusCode == 301 {
				text = got.Header.Get("Location")
			}
			if got.StatusCode != tt.status || tt.want != "" && text != tt.want {
				t.Errorf("GET %s = %d %q, want %d %q", tt.path, got.StatusCode, text, tt.status, tt.want)
			}
		}
		folders := []string{"20250101T000000Z/", "20250301T101500Z/", "20250302T000000Z/"}
		if diff := cmp.Diff(append([]string{"../"}, folders...), links(s.get("/pulp/content/cp/").body)); diff != "" {
			t.Errorf("listing (-want +got):\n%s", diff)
		}
		var paged []string
		for path := "?limit=1"; path != "" && len(paged) < 10; {
			page := s.get("/pulp/content/cp/" + path)
			paged = append(paged, links(page.body)[1:]...)
			path, _ = strings.CutSuffix(strings.TrimPrefix(page.Header.Get("Link"), "<"), `>; rel="next"`)
		}
		if diff := cmp.Diff(folders, paged); diff != "" {
			t.Errorf("pages of one (-want +got):\n%s", diff)
		}
		// Checkpoints are not what other distributions serve.
		s.distribute("plain", r)
		if got := s.get("/pulp/content/plain/dir/f"); got.StatusCode != 404 {
			t.Errorf("GET = %d %q, want 404", got.StatusCode, got.body)
		}
	})
}
