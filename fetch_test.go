package pulpcore_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/pulptest"
)

// TestDownloaderConfig fetches files from a server that demands a login, a header and a certificate authority which
// only the downloader_config of the request names.
func TestDownloaderConfig(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if name != "u" || password != "p w" || r.Header.Get("X-Token") != "t" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte("content of " + r.URL.Path))
	}))
	t.Cleanup(server.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	config := func(change map[string]any) map[string]any {
		c := map[string]any{
			"ca_cert": ca, "username": "u", "password": "p w", "headers": []any{map[string]any{"X-Token": "t"}},
			"max_retries": 0, "total_timeout": 20.0,
		}
		for name, value := range change {
			c[name] = value
		}
		return c
	}
	const units = "/pulp/api/v3/content/file/files/"
	app := pulptest.New(t, file.Plugin())
	create := func(t *testing.T, url string, config any) *pulptest.Response {
		t.Helper()
		return app.Do(t, http.MethodPost, units, pulptest.JSON(map[string]any{
			"relative_path": strings.Trim(t.Name(), "/"), "file_url": url, "downloader_config": config,
		}))
	}
	t.Run("all", func(t *testing.T) {
		o := app.Await(t, create(t, server.URL+"/a", config(nil)).Want(http.StatusAccepted))
		var unit struct{ Size int }
		app.Do(t, http.MethodGet, o.Resource()).Want(http.StatusOK).JSON(&unit)
	})
	t.Run("no check of the certificate", func(t *testing.T) {
		change := map[string]any{"ca_cert": nil, "tls_validation": false}
		app.Await(t, create(t, server.URL+"/b", config(change)).Want(http.StatusAccepted))
	})
	t.Run("credentials of the URL", func(t *testing.T) {
		change := map[string]any{"username": nil, "password": nil}
		url := strings.Replace(server.URL, "https://", "https://u:p%20w@", 1) + "/c"
		app.Await(t, create(t, url, config(change)).Want(http.StatusAccepted))
	})
	for name, change := range map[string]map[string]any{
		"no authority": {"ca_cert": nil}, "no header": {"headers": nil}, "another password": {"password": "x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := app.TryAwait(t, create(t, server.URL+"/d", config(change)).Want(http.StatusAccepted))
			if err == nil || strings.Contains(err.Error(), "p w") {
				t.Errorf("the task: %v, want a failure that does not show the password", err)
			}
		})
	}
	for name, tt := range map[string]struct {
		config any
		want   string
	}{
		"a certificate":       {config(map[string]any{"ca_cert": "x"}), "ca_cert: "},
		"a key alone":         {config(map[string]any{"client_key": "x"}), "client_cert: "},
		"a proxy":             {config(map[string]any{"proxy_url": "http://u:p@h/"}), "proxy_url: "},
		"a header":            {config(map[string]any{"headers": []any{map[string]any{"a b": "c"}}}), "headers: "},
		"a number":            {config(map[string]any{"max_retries": "x"}), "of the documented form"},
		"a negative number":   {config(map[string]any{"total_timeout": -1}), "total_timeout: "},
		"an unknown member":   {config(map[string]any{"usrname": "u"}), "of the documented form"},
		"a list":              {[]any{}, "of the documented form"},
		"a text":              {"x", "of the documented form"},
		"credentials in both": {config(nil), "username: The file_url has credentials already."},
	} {
		t.Run("wrong "+name, func(t *testing.T) {
			url := server.URL + "/e"
			if name == "credentials in both" {
				url = strings.Replace(url, "https://", "https://u:p@", 1)
			}
			var faults map[string][]string
			create(t, url, tt.config).Want(http.StatusBadRequest).JSON(&faults)
			if len(faults) != 1 || !strings.Contains(strings.Join(faults["downloader_config"], "\n"), tt.want) {
				t.Errorf("faults = %v, want %q for downloader_config", faults, tt.want)
			}
		})
	}
}
