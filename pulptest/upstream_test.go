package pulptest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/pulptest"
)

func TestUpstreamFailsOnDemand(t *testing.T) {
	t.Parallel()
	up := pulptest.NewUpstream(t, pulptest.Files(t, "dir/a.txt", "0123456789"))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(wantStatus int, wantBody string, whole bool) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, up.URL+"/dir/a.txt?token=x", nil)
		must(t, err)
		res, err := client.Do(req)
		if err != nil {
			if whole || wantBody != "" {
				t.Errorf("GET = %v, want status %d", err, wantStatus)
			}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != wantStatus || strings.TrimSpace(string(body)) != wantBody || (err == nil) != whole {
			t.Errorf("GET = %d %q, %v, want %d %q, whole %t", res.StatusCode, body, err, wantStatus, wantBody, whole)
		}
	}
	get(http.StatusOK, "0123456789", true)
	up.Fail("dir/a.txt", 2, http.StatusServiceUnavailable)
	get(http.StatusServiceUnavailable, "Service Unavailable", true)
	get(http.StatusServiceUnavailable, "Service Unavailable", true)
	get(http.StatusOK, "0123456789", true)
	up.Cut("/dir/a.txt", 1, 4)
	get(http.StatusOK, "0123", false)
	up.Cut("dir/a.txt", 1, 100)
	get(http.StatusOK, "0123456789", false)
	up.Fail("dir/a.txt", 5, http.StatusNotFound)
	up.Fail("dir/a.txt", 0, 0)
	get(http.StatusOK, "0123456789", true)

	if asked := up.Asked(); up.Count("dir/a.txt") != 7 || up.Count("a.txt") != 0 || asked[0].RawQuery != "token=x" {
		t.Errorf("asked for %v, want seven times the file", asked)
	}
}
