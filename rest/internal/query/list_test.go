package query_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

func source() *query.Source {
	params := query.NumberFilter().Params("number", "x.number")
	params = append(params, query.NameFilter().Params("name", "x.name")...)
	return &query.Source{Params: params, Columns: []string{"name"}, Others: []string{"minimal"}, Page: 100}
}

func TestParseList(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]query.List{
		"":                                     {Limit: 100},
		"limit=20000&offset=5":                 {Limit: query.MaxPage, Offset: 5},
		"limit=x&offset=-1&minimal=1&fields=a": {Limit: 100},
		"offset=9223372036854775808":           {Limit: 100, Offset: 1 << 40},
		"ordering=-name,,name":                 {Limit: 100, Order: []string{"-name", "name"}},
	} {
		got, err := source().Parse(t.Context(), nil, raw)
		if err != nil {
			t.Errorf("Parse(%q): %v", raw, err)
			continue
		}
		if got.Limit != want.Limit || got.Offset != want.Offset || strings.Join(got.Order, ",") != strings.Join(want.Order, ",") {
			t.Errorf("Parse(%q) = %+v, want %+v", raw, got, want)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"number=1":                "x.number = ?",
		"number__range=1,2":       "x.number BETWEEN ? AND ?",
		"number__in=1,2":          "x.number IN (?)",
		"number__isnull=false":    "x.number IS NOT NULL",
		"number__ne=1":            "(x.number <> ? OR x.number IS NULL)",
		"name__istartswith=a":     "SUBSTR(LOWER(x.name), 1, LENGTH(?)) = LOWER(?)",
		"number__gt=1&number=&x=": "",
	} {
		got, err := source().Parse(t.Context(), nil, raw)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "Invalid Filter: 'x'") {
				t.Errorf("Parse(%q) = %v, want the unknown filter", raw, err)
			}
			continue
		}
		if err != nil || len(got.Where) != 1 {
			t.Errorf("Parse(%q) = %+v, %v, want one condition", raw, got, err)
			continue
		}
		if expr, _ := got.Where[0].SQL(); expr != want {
			t.Errorf("Parse(%q): condition %q, want %q", raw, expr, want)
		}
	}
}

func TestLinksToPages(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "http://pulp.example/list/?limit=10&offset=5&name=a", nil)
	l, err := source().Parse(t.Context(), nil, r.URL.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		count int64
		want  string
	}{
		{30, `{"count":30,"next":"http://pulp.example/list/?limit=10\u0026name=a\u0026offset=15",` +
			`"previous":"http://pulp.example/list/?limit=10\u0026name=a","results":[]}`},
		{15, `{"count":15,"next":null,"previous":"http://pulp.example/list/?limit=10\u0026name=a","results":[]}`},
	} {
		got, err := wire.Append(nil, l.Answer(r, tt.count, nil))
		if err != nil || string(got) != tt.want {
			t.Errorf("page of %d rows = %s, %v, want %s", tt.count, got, err, tt.want)
		}
	}
}
