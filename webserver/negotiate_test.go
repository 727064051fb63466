package webserver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/webserver"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		accept []string
		want   string
	}{
		"no header":                        {nil, "text/html"},
		"an empty header":                  {[]string{""}, "text/html"},
		"everything":                       {[]string{"*/*"}, "text/html"},
		"everything, as Java writes it":    {[]string{"image/gif, *; q=.2"}, "text/html"},
		"one":                              {[]string{"application/json"}, "application/json"},
		"of one quality, the first offer":  {[]string{"application/json, text/html"}, "text/html"},
		"the higher quality":               {[]string{"text/html;q=0.5, application/json"}, "application/json"},
		"two headers":                      {[]string{"text/html;q=0.5", "application/json;q=0.9"}, "application/json"},
		"a kind":                           {[]string{"application/*"}, "application/json"},
		"the most specific range decides":  {[]string{"text/html;q=0.1, */*;q=0.9"}, "application/json"},
		"whatever its place":               {[]string{"*/*;q=0.9, text/*;q=0.5, text/html;q=0.1"}, "application/json"},
		"capital letters":                  {[]string{"Application/JSON"}, "application/json"},
		"none":                             {[]string{"image/png"}, ""},
		"a refused one":                    {[]string{"text/html;q=0, application/json;q=0"}, ""},
		"all but one":                      {[]string{"*/*, text/html;q=0"}, "application/json"},
		"malformed ranges are passed over": {[]string{"/, ;, text/html;q=x, application/json"}, "application/json"},
		"a quality outside of its range":   {[]string{"text/html;q=7, application/json;q=0.1"}, "application/json"},
		"a quality that is no number":      {[]string{"text/html;q=NaN, application/json;q=0.1"}, "application/json"},
		"what a browser sends":             {[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, "text/html"},
		"very many ranges":                 {[]string{strings.Repeat("a/b,", 10_000) + "application/json"}, "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{Header: http.Header{}}
			for _, v := range tt.accept {
				r.Header.Add("Accept", v)
			}
			if got := webserver.Negotiate(r, "text/html", "application/json"); got != tt.want {
				t.Errorf("Negotiate(%.60q) = %q, want %q", tt.accept, got, tt.want)
			}
		})
	}
}
