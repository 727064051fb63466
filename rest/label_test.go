package rest_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
)

// TestLabelsThatAreNull has a label of each kind: with a text, with an empty one, with null, and none.
func TestLabelsThatAreNull(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		labels := []any{map[string]any{"k": "Text"}, map[string]any{"k": ""}, map[string]any{"k": nil}, map[string]any{"l": "x"}}
		repos := make([]string, len(labels))
		for i, l := range labels {
			a := b.do("POST", "repositories/file/file/", map[string]any{"name": fmt.Sprint(i), "pulp_labels": l}).want(201)
			repos[i] = a.str("pulp_href")
			if got := fmt.Sprint(a.get("pulp_labels")); got != fmt.Sprint(l) {
				t.Errorf("labels %v are answered as %s", l, got)
			}
		}
		for query, want := range map[string]string{
			"k": "0 1 2", "!k": "3", "k=": "1", "k=Text": "0", "k!=Text": "1 2", "k!=": "0 2", "k~": "0 1", "k~tex": "0", "k~null": "",
			"k=null": "", "!l": "0 1 2", "l": "3",
		} {
			a := b.do("GET", "repositories/?ordering=pulp_created&pulp_label_select="+url.QueryEscape(query), nil)
			got := " " + hrefs(a)
			for i, href := range repos {
				got = strings.ReplaceAll(got, href, fmt.Sprint(i))
			}
			if got != " "+want {
				t.Errorf("pulp_label_select=%s =%s, want %s", query, got, want)
			}
		}
		for _, query := range []string{"", ",", "k,"} {
			b.do("GET", "repositories/?pulp_label_select="+url.QueryEscape(query), nil).want(400)
		}
		repo := repos[3]
		diff(t, b.do("POST", repo+"set_label/", map[string]any{"key": "n", "value": nil}).want(201).body, `{"key": "n", "value": null}`)
		diff(t, b.do("GET", repo+"?fields=pulp_labels", nil).want(200).body, `{"pulp_labels": {"l": "x", "n": null}}`)
		diff(t, b.do("POST", repo+"unset_label/", map[string]any{"key": "n"}).want(201).body, `{"key": "n", "value": null}`)
		b.completed("PATCH", repo, map[string]any{"pulp_labels": map[string]any{"m": nil}})
		diff(t, b.do("GET", repo+"?fields=pulp_labels", nil).want(200).body, `{"pulp_labels": {"m": null}}`)
		if a := b.do("PATCH", repo, map[string]any{"pulp_labels": map[string]any{"m": ""}}); a.status != 202 {
			t.Errorf("a change from null to the empty text is answered with %d", a.status)
		}
		row, err := repositories.One(t.Context(), b.db, models.Eq("name", "2"))
		must(t, err)
		if value, ok := row.Labels["k"]; !ok || value != nil {
			t.Errorf("labels of the row = %v", row.Labels)
		}
	})
}
