package rest_test

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
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
			"Invalid search term: '(((((((((((": "pulp_label_select=" + strings.Repeat("(", 8000),
			"At most 8192 bytes":                "name=" + strings.Repeat("(", 50_000),
			"At most 8192 bytes are":            "name__in=a," + strings.Repeat("(", 8193),
			"not 9000":                          "pulp_label_select=" + strings.Repeat("(", 9000),
			"At most 200 names":                 "fields=" + strings.Repeat("name,", 200) + "name",
			`{"exclude_fields":["At most 200`:   "exclude_fields=" + strings.Repeat("x,", 300_000),
		} {
			a := b.do("GET", "repositories/file/file/?"+query, nil).want(400)
			if body := string(a.body); len(body) > 4096 || !strings.Contains(body, name) {
				t.Errorf("%s: %d bytes %.200s", name, len(body), body)
			}
		}
		for _, query := range []string{"task=" + strings.Repeat("x", 50_000), strings.Repeat("x", 50_000) + "=1"} {
			if a := b.do("GET", "tasks/events/?"+query, nil).want(400); len(a.body) > 4096 {
				t.Errorf("tasks/events/: an error of %d bytes", len(a.body))
			}
		}
		full := "name__in=" + strings.Repeat("one,", 9_999) + strings.Repeat("x", 8192) + "&fields=" + strings.Repeat("name,", 200)
		if n := b.do("GET", "repositories/file/file/?"+full, nil).want(200).get("count"); n != 1.0 {
			t.Errorf("count = %v with as much as is allowed, want 1", n)
		}
		one := "repositories/file/file/?name=" + strings.Repeat("x", 8192)
		if n := b.do("GET", one, nil).want(200).get("count"); n != 0.0 {
			t.Errorf("count = %v with a name as long as is allowed, want 0", n)
		}
		for _, name := range []string{"fields", "exclude_fields"} {
			diff(t, b.do("POST", "repositories/file/file/?"+name+"="+strings.Repeat("a,", 201), map[string]any{"name": "two"}).want(400).body,
				`{"`+name+`": ["At most 200 names are allowed."]}`)
		}
		if n := b.do("GET", "repositories/", nil).want(200).get("count"); n != 1.0 {
			t.Errorf("%v repositories after refusals, want 1", n)
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

// oddValues are values that a parameter may get by mistake or malice, beside those of its kind.
func oddValues(b *bundle) []string {
	id := b.db.Domain().ID.String()
	return []string{
		"", "null", "-1", "1.5", "9223372036854775807", "9223372036854775808", "NaN", "true", ",", "a,b", "a\x00b", "\xff\xfe",
		"'\"\\%_?0 ?1 $1", "{}", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01,9999-12-31", "0,99999999999",
		id + "," + id, "prn:core.task:" + id, "prn:file.filecontent:" + id + ",prn:file.filecontent:" + id,
		"/pulp/api/v3/workers/" + id + "/", b.repo(), b.repo() + "versions/0/," + b.repo() + "versions/2147483647/",
		"k~,!k,k=,k!=v", "completed",
		strings.Repeat("9", 400), strings.Repeat("x", 100_000), strings.Repeat("x,", 20_000),
	}
}

// TestNoQueryIsAFault sends odd values of every parameter that the document declares for a list, alone and together.
func TestNoQueryIsAFault(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		b.unit("x", "x", "repository", b.repo(), "pulp_labels", `{"k": "v"}`)
		values := oddValues(b)
		random := rand.New(rand.NewPCG(1, 2))
		check := func(path string, query url.Values) {
			t.Helper()
			a := b.do("GET", path+"?"+query.Encode(), nil)
			if a.status != 200 && a.status != 400 {
				t.Errorf("GET %s?%.300s = %d: %.300s", path, query.Encode(), a.status, a.body)
			}
			if a.status == 400 && len(a.body) > 20_000 {
				t.Errorf("GET %s?%.300s: an error of %d bytes", path, query.Encode(), len(a.body))
			}
		}
		for path, item := range document(t, b).Paths.Map() {
			op := item.Get
			if op == nil || !strings.HasSuffix(op.OperationID, "_list") {
				continue
			}
			path = strings.ReplaceAll(path, "{pulp_id}", strings.Split(b.repo(), "/")[7])
			for _, p := range op.Parameters {
				for _, v := range values {
					if p.Value.In == "query" {
						check(path, url.Values{p.Value.Name: {v}})
					}
				}
			}
			for range 40 {
				query := url.Values{}
				for range 1 + random.IntN(5) {
					p := op.Parameters[random.IntN(len(op.Parameters))].Value
					query.Add(p.Name, values[random.IntN(len(values)-2)])
				}
				check(path, query)
			}
		}
	})
}

func document(t *testing.T, b *bundle) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(b.do("GET", "docs/api.json?pk_path=1", nil).want(200).body)
	must(t, err)
	return doc
}
