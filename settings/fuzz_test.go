package settings_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/settings"
)

// FuzzLayers loads a file of any format below an environment. It must not panic, must come out the same each time, and
// every key must be explained by its last step. No error may show the secret.
func FuzzLayers(f *testing.F) {
	f.Add(uint8(0), "PAGE_SIZE = 5\n[LOGGING]\ndynaconf_merge = true\n", "LOGGING__format", "json")
	f.Add(uint8(1), "K: [a, dynaconf_merge]\nDATABASES: {default: {HOST: h}}\n", "K", `["b", "dynaconf_merge"]`)
	f.Add(uint8(2), `{"K": {"dynaconf_merge": {"a": [1, "dynaconf_merge_unique"]}}}`, "K__a", "@merge 1,2")
	f.Add(uint8(0), "A__b__c = 1\nA = 2", "a__B__C", "@json {}")
	f.Add(uint8(1), "STORAGES: {default: {BACKEND: S3Storage, OPTIONS: {bucket_name: b}}}", "REDIS_PORT", "tcp://x")
	f.Add(uint8(2), `{"DEPLOY_ROOT": "/x?y"}`, "__", "{")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, format uint8, text, name, value string) {
		path := filepath.Join(dir, fmt.Sprintf("%d.%s", os.Getpid(), []string{"toml", "yaml", "json"}[format%3]))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		opts := []settings.Option{
			settings.Value("REDIS_PASSWORD", "s3cr3t-s3cr3t"), settings.File(path),
			settings.Environ("P_", []string{"P_" + name + "=" + value}),
		}
		set, err := settings.Load(opts...)
		again, err2 := settings.Load(opts...)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("Load() = %v, then %v", err, err2)
		}
		if err != nil {
			if strings.Contains(err.Error(), "s3cr3t-s3cr3t") {
				t.Fatalf("the error shows a secret: %v", err)
			}
			return
		}
		for _, key := range set.Keys() {
			e := set.Explain(key)
			if len(e.Steps) == 0 || len(e.Layers()) == 0 {
				t.Fatalf("Explain(%q) has no step", key)
			}
			if strings.Contains(e.String(), "s3cr3t-s3cr3t") {
				t.Fatalf("Explain(%q) shows a secret", key)
			}
			v, _ := set.Get(key)
			other, _ := again.Get(key)
			if !cmp.Equal(v, other) || !cmp.Equal(v, e.Value) {
				t.Fatalf("Get(%q) = %#v, then %#v, explained as %#v", key, v, other, e.Value)
			}
		}
		if _, err := set.With(); err != nil && strings.Contains(err.Error(), "s3cr3t-s3cr3t") {
			t.Fatalf("the error shows a secret: %v", err)
		}
	})
}

// FuzzURL checks that a printed address never has the password of the address.
func FuzzURL(f *testing.F) {
	f.Add("https", "user", "h/x?y=z")
	f.Fuzz(func(t *testing.T, scheme, user, rest string) {
		const secret = "S3CR3Tpassw0rd"
		raw := scheme + "://" + user + ":" + secret + "@" + rest
		if strings.ContainsAny(scheme+user, "/?#@ \t\r\n:[]") || scheme == "" {
			t.Skip("the text is not an address with a password")
		}
		if got := settings.NewURL(raw).String(); strings.Contains(got, secret) {
			t.Fatalf("NewURL(%q).String() = %q", raw, got)
		}
	})
}
