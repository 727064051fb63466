package rest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

const nowhere = "00000000-0000-0000-0000-000000000000"

// TestFiltersByWhatDoesNotExist demands that a script can tell a list of nothing from a mistake.
func TestFiltersByWhatDoesNotExist(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		unit := b.unit("x", "y", "repository", repo)
		b.completed("DELETE", repo+"versions/0/", nil)
		version := repo + "versions/99/"
		const (
			noRepo, noUnit = "/pulp/api/v3/repositories/file/file/" + nowhere + "/", "/pulp/api/v3/content/file/files/" + nowhere + "/"
			noVersion      = "prn:core.repositoryversion:" + nowhere
		)
		for path, queries := range map[string][]string{
			"content/": {
				"repository_version=" + version, "repository_version=" + repo + "versions/0/", "repository_version=" + noVersion,
				"repository_version_added=" + version, "repository_version_removed=" + version,
				"repository_version=" + noRepo + "versions/1/",
			},
			"content/file/files/":      {"repository_version=" + version, "repository_version_added=" + noVersion},
			"artifacts/":               {"repository_version=" + version},
			"publications/":            {"repository_version=" + version, "repository=" + noRepo},
			"publications/file/file/":  {"repository_version=" + noVersion, "repository=prn:file.filerepository:" + nowhere},
			"repository_versions/":     {"content=" + noUnit, "content__in=" + unit + "," + noUnit},
			repo + "versions/":         {"content=" + noUnit},
			"repositories/":            {"with_content=" + noUnit, "latest_with_content=" + noUnit},
			"repositories/file/file/":  {"with_content=prn:file.filecontent:" + nowhere},
			"distributions/":           {"repository=" + noRepo, "repository__in=" + repo + "," + noRepo},
			"distributions/file/file/": {"repository=" + noRepo},
		} {
			for _, q := range queries {
				name, ref, _ := strings.Cut(q, "=")
				_, last, many := strings.Cut(ref, ",")
				if many {
					ref = last
				}
				kind := "repositoryversion"
				switch {
				case strings.Contains(name, "content"):
					kind = "content"
				case !strings.Contains(name, "version"):
					kind = "repository"
				}
				diff(t, b.do("GET", path+"?"+q, nil).want(400).body, fmt.Sprintf("[%q]", "URI "+ref+" not found for "+kind+"."))
				diff(t, b.do("GET", path+"?"+name+"=/nope/", nil).want(400).body, `["URI not valid: /nope/"]`)
				if !many {
					diff(t, b.do("GET", path+"?"+name+"=", nil).want(400).body, `["No value supplied for `+name+` filter."]`)
				}
			}
		}
		for q, want := range map[string]float64{
			"repository_versions/?content=" + unit: 1, "repository_versions/?content__in=" + unit + "," + unit: 1,
			"repository_versions/?pulp_href__in=" + repo + "versions/1/," + repo + "versions/99/": 1,
			"repository_versions/?prn__in=" + noVersion:                                           0,
			"distributions/?repository__in=" + repo:                                               0,
			"tasks/?created_resources=" + noUnit:                                                  0,
			"tasks/?worker=/pulp/api/v3/workers/" + nowhere + "/":                                 0,
			"repositories/?remote=/pulp/api/v3/remotes/file/file/" + nowhere + "/":                0,
		} {
			if n := b.do("GET", q, nil).want(200).get("count"); n != want {
				t.Errorf("%s: count = %v, want %v", q, n, want)
			}
		}
	})
}

// TestManyVersionsByHref counts statements: they must not grow with the hrefs.
func TestManyVersionsByHref(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		other := b.create("repositories/file/file/", map[string]any{"name": "other"})
		b.unit("x", "y", "repository", repo)
		list := []string{repo + "versions/1/", other + "versions/0/", other + "versions/1/"}
		for i := range 97 {
			list = append(list, fmt.Sprint(repo, "versions/", i+2, "/"))
		}
		c := &counter{}
		b.db.Conn().Bun.AddQueryHook(c) //nolint:staticcheck // the pool of the test alone
		got := hrefs(b.do("GET", "repository_versions/?ordering=number&pulp_href__in="+strings.Join(list, ","), nil))
		if want := list[1] + " " + list[0]; got != want {
			t.Errorf("versions = %s, want %s", got, want)
		}
		if c.n > 8 {
			t.Errorf("%d hrefs took %d statements", len(list), c.n)
		}
	})
}

func TestFilterByNoReference(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		remote := b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"})
		with := b.create("repositories/file/file/", map[string]any{"name": "with", "remote": remote})
		without := b.create("repositories/file/file/", map[string]any{"name": "without"})
		for _, path := range []string{"repositories/", "repositories/file/file/"} {
			if got := hrefs(b.do("GET", path+"?remote=null", nil)); got != without {
				t.Errorf("%s?remote=null = %s, want %s", path, got, without)
			}
			if got := hrefs(b.do("GET", path+"?remote="+remote, nil)); got != with {
				t.Errorf("%s?remote=%s = %s, want %s", path, remote, got, with)
			}
		}
		dist := b.completed("POST", "distributions/file/file/", map[string]any{"name": "d", "base_path": "d"})
		b.completed("POST", "distributions/file/file/", map[string]any{"name": "e", "base_path": "e", "repository": with})
		if got := hrefs(b.do("GET", "distributions/?repository=null", nil)); got != dist {
			t.Errorf("distributions/?repository=null = %s, want %s", got, dist)
		}
		if n := b.do("GET", "tasks/?task_group=null&parent_task=null", nil).want(200).get("count"); n != 2.0 {
			t.Errorf("tasks without group and parent: %v, want 2", n)
		}
	})
}

func TestFilterTasksByNames(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		prefix := "pdrn:" + b.db.Domain().ID.String() + ":"
		_, err := publishTask.Dispatch(t.Context(), b.queue, publishArgs{}, &tasking.DispatchOptions{
			Exclusive: tasking.Named(prefix + "orphans"), Shared: tasking.Named(prefix + "distributions"),
		})
		must(t, err)
		b.task("POST", b.repo()+"sync/", map[string]any{
			"remote": b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"}),
		})
		for query, want := range map[string]float64{
			"reserved_resources=nope": 0, "exclusive_resources=nope": 0, "shared_resources=nope": 0,
			"reserved_resources__in=nope,other": 0, "exclusive_resources__in=nope": 0, "shared_resources__in=nope": 0,
			"reserved_resources=prn": 0, "reserved_resources=:": 0, "reserved_resources=%00": 0,
			"reserved_resources=" + prefix + "orphans": 1, "exclusive_resources=" + prefix + "orphans": 1,
			"shared_resources=" + prefix + "orphans": 0, "reserved_resources=" + prefix + "orphan": 0,
			"reserved_resources=" + prefix + "distributions": 1, "shared_resources=" + prefix + "distributions": 1,
			"exclusive_resources=" + prefix + "distributions": 0, "exclusive_resources=shared:" + prefix + "distributions": 0,
			"reserved_resources__in=" + prefix + "orphans," + prefix + "distributions": 1,
			"reserved_resources__in=" + prefix + "orphans," + b.repo():                 0,
			"exclusive_resources=" + b.repo():                                          1,
			"reserved_resources=" + b.repo() + "versions/99/":                          0,
		} {
			if n := b.do("GET", "tasks/?"+query, nil).want(200).get("count"); n != want {
				t.Errorf("tasks/?%s: count = %v, want %v", query, n, want)
			}
		}
	})
}

// TestPublicationsOfContent has publications that serve all of a version, one that serves a file of it, and one of
// nothing.
func TestPublicationsOfContent(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		x, y := b.unit("x", "x", "repository", repo), b.unit("y", "y", "repository", repo)
		z := b.unit("z", "z")
		publish := func(number int) string {
			return b.completed("POST", "publications/file/file/", map[string]any{
				"repository_version": fmt.Sprint(repo, "versions/", number, "/"),
			})
		}
		empty, one, both := publish(0), publish(1), publish(2)
		row, err := repositories.One(t.Context(), b.db, models.Eq("name", "r"))
		must(t, err)
		latest, err := models.LatestVersion(t.Context(), b.db, row.ID)
		must(t, err)
		var file uuid.UUID // of y
		must(t, b.db.Bun().NewSelect().TableExpr("core_contentartifact").Column("pulp_id").
			Where("relative_path = 'y'").Scan(t.Context(), &file))
		selected := &Publication{Manifest: new("none")}
		selected.RepositoryVersionID = latest.ID
		must(t, models.Publish(t.Context(), b.db, b.store, selected, func(p *models.NewPublication) error {
			return p.Add(t.Context(), &models.PublishedArtifact{ContentArtifactID: file, RelativePath: "elsewhere"})
		}))
		part := "/pulp/api/v3/publications/file/file/" + selected.ID.String() + "/"
		prn := b.do("GET", y, nil).str("prn")
		for query, want := range map[string]string{
			"content=" + x: one + " " + both, "content=" + y: both + " " + part, "content=" + prn: both + " " + part,
			"content=" + z: "", "content__in=" + x + "," + prn: one + " " + both + " " + part, "content__in=" + z: "",
			"content=" + x + "&content__in=" + y: both, "content__in=": empty + " " + one + " " + both + " " + part,
		} {
			for _, path := range []string{"publications/", "publications/file/file/"} {
				if got := hrefs(b.do("GET", path+"?ordering=pulp_created&"+query, nil)); got != want {
					t.Errorf("%s?%s = %s, want %s", path, query, got, want)
				}
			}
		}
		b.do("GET", "publications/?content=/pulp/api/v3/content/file/files/"+nowhere+"/", nil).want(400)
	})
}
