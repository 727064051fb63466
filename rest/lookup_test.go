package rest_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
)

// TestLookups asks repositories with several names and labels in all the ways of Pulp's lists.
func TestLookups(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		names := map[string]string{}
		var prns []string
		for _, name := range []string{"Apfel", "apfel 2", "ÄPFEL", "äpfel 2", "x.y", "xzy"} {
			a := b.do("POST", "repositories/file/file/", map[string]any{
				"name": name, "pulp_labels": map[string]any{"l": name}, "retain_repo_versions": len(name),
			}).want(201)
			names[a.str("pulp_href")] = name
			prns = append(prns, a.str("prn"))
		}
		for query, want := range map[string]string{
			"name=Apfel": "Apfel", "name__iexact=apfel": "Apfel", "name__iexact=äpfel": "ÄPFEL", "name__icontains=PFEL": "Apfel|apfel 2|ÄPFEL|äpfel 2",
			"name__icontains=äP": "ÄPFEL|äpfel 2", "name__istartswith=ä": "ÄPFEL|äpfel 2", "name__startswith=ä": "äpfel 2",
			"name__contains=Ä": "ÄPFEL", "name__regex=^x.y$": "x.y|xzy", "name__regex=^x\\.y$": "x.y", "name__iregex=^ä": "ÄPFEL|äpfel 2",
			"name__in=x.y,xzy": "x.y|xzy", "pulp_label_select=l~äp": "ÄPFEL|äpfel 2", "pulp_label_select=l~APF": "Apfel|apfel 2",
			"prn__in=" + prns[0] + "," + prns[4]: "Apfel|x.y",
			`q=name="x.y" OR name__iregex="^Ä"`:  "ÄPFEL|äpfel 2|x.y",
			`q=NOT name__icontains="pfel"`:       "x.y|xzy",
			`q=NOT (pulp_label_select="l=xzy" OR name__contains="pf") AND prn__in="` + prns[4] + `,` + prns[0] + `"`: "x.y",
			`q=with_content=null`: "400", `q=`: "Apfel|apfel 2|ÄPFEL|äpfel 2|x.y|xzy", "q=name": "400", "name__regex=(": "400",
			"retain_repo_versions__range=5,6&name__contains=p": "Apfel",
		} {
			name, value, _ := strings.Cut(query, "=")
			rest := ""
			if before, after, ok := strings.Cut(value, "&"); ok {
				value, rest = before, "&"+after
			}
			for _, path := range []string{"repositories/", "repositories/file/file/"} {
				a := b.do("GET", path+"?ordering=pulp_created&"+name+"="+url.QueryEscape(value)+rest, nil)
				got := fmt.Sprint(a.status)
				if a.status == 200 {
					got = strings.ReplaceAll(hrefs(a), " ", "|")
					for href, n := range names {
						got = strings.ReplaceAll(got, href, n)
					}
				}
				if got != want {
					t.Errorf("%s?%s = %s, want %s", path, query, got, want)
				}
			}
		}
		// Several columns, the first of which has equal values.
		a := b.do("GET", "repositories/file/file/?ordering=retain_repo_versions,-pulp_created&fields=name&limit=2", nil).want(200)
		if want := `"results":[{"name":"xzy"},{"name":"x.y"}]`; !strings.Contains(string(a.body), want) {
			t.Errorf("ordered by two columns: %s, want %s", a.body, want)
		}
		a = b.do("GET", "repositories/?exclude_fields=name,pulp_labels&limit=1", nil).want(200)
		if strings.Contains(string(a.body), `"pulp_labels":`) || !strings.Contains(string(a.body), "pulp_created") {
			t.Errorf("exclude_fields: %s", a.body)
		}
	})
}

func TestDistributionsWithContent(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		x := b.unit("x", "x", "repository", repo)
		publication := b.completed("POST", "publications/file/file/", map[string]any{"repository": repo})
		y := b.unit("y", "y", "repository", repo)
		dist := func(name, field, value string) string {
			return b.completed("POST", "distributions/file/file/", map[string]any{"name": name, "base_path": name, field: value})
		}
		latest, first := dist("a", "repository", repo), dist("b", "repository_version", repo+"versions/1/")
		published := dist("c", "publication", publication)
		dist("d", "repository_version", repo+"versions/0/")
		for unit, want := range map[string]string{x: latest + " " + first + " " + published, y: latest} {
			for _, path := range []string{"distributions/", "distributions/file/file/"} {
				if got := hrefs(b.do("GET", path+"?ordering=name&with_content="+unit, nil)); got != want {
					t.Errorf("%s?with_content=%s = %s, want %s", path, unit, got, want)
				}
			}
		}
		b.completed("POST", repo+"modify/", map[string]any{"remove_content_units": []string{x}})
		if got := hrefs(b.do("GET", "distributions/?ordering=name&with_content="+x, nil)); got != first+" "+published {
			t.Errorf("after the removal = %s", got)
		}
	})
}

func TestOrphans(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		used, orphan := b.unit("x", "x", "repository", b.repo()), b.unit("y", "y")
		body, edit := form(t, "file", "@z")
		artifact := b.do("POST", "artifacts/", body, edit).want(201).str("pulp_href")
		for _, table := range []string{"core_content", "core_artifact"} {
			_, err := b.db.Bun().NewUpdate().TableExpr(table).Set("timestamp_of_interest = ?", models.Now().Add(-1e12)).
				Where("TRUE").Exec(t.Context()) // 1,000 seconds ago
			must(t, err)
		}
		for query, want := range map[string]string{
			"content/?orphaned_for=10": orphan, "content/file/files/?orphaned_for=0": orphan, "content/?orphaned_for=20": "",
			"artifacts/?orphaned_for=10": artifact, "artifacts/?orphaned_for=20": "",
			"content/?q=NOT%20orphaned_for%3D10": used,
		} {
			if got := hrefs(b.do("GET", query, nil).want(200)); got != want {
				t.Errorf("%s = %s, want %s", query, got, want)
			}
		}
		for _, bad := range []string{"-1", "x", "1000000000000"} {
			b.do("GET", "content/?orphaned_for="+bad, nil).want(400)
		}
	})
}
