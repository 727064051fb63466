package rest_test

import (
	"strings"
	"testing"
)

// What a query may say is bounded, and so is what an answer repeats of it.
func TestBoundsOfLists(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		b.create("repositories/file/file/", map[string]any{"name": "one"})
		for _, offset := range []string{"9223372036854775807", "9223372036854775808", "99999999999999999999", "1099511627777"} {
			a := b.do("GET", "repositories/file/file/?offset="+offset, nil).want(200)
			if next, count := a.get("next"), a.get("count"); next != nil || count != 1.0 {
				t.Errorf("offset %s: count %v, next %v", offset, count, next)
			}
		}
		for name, query := range map[string]string{
			"At most 20 terms":                  "ordering=" + strings.Repeat("name,", 2500) + "name",
			"At most 100 search terms":          "pulp_label_select=" + strings.Repeat("a%3Db,", 1200) + "c",
			"At most 10000 values":              "name__in=" + strings.Repeat("a,", 10_000) + "a",
			"is not one of the available":       "ordering=" + strings.Repeat("x", 50_000),
			"Invalid Filter: 'p":                strings.Repeat("p", 50_000) + "=1",
			"Invalid Filter: 'q1'":              manyParams(2000),
			"Invalid search term: '(((((((((((": "pulp_label_select=" + strings.Repeat("(", 50_000),
		} {
			a := b.do("GET", "repositories/file/file/?"+query, nil).want(400)
			if body := string(a.body); len(body) > 4096 || !strings.Contains(body, name) {
				t.Errorf("%s: %d bytes %.200s", name, len(body), body)
			}
		}
	})
}

func manyParams(n int) string {
	var q strings.Builder
	for i := range n {
		q.WriteString("q" + strings.Repeat("1", i+1)[:i%200+1] + strings.Repeat("2", i/200) + "=1&")
	}
	return q.String()
}
