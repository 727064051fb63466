package settings_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/settings"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "s.yaml", `
LOGGING: {dynaconf_merge: true, loggers: {pulp: {level: DEBUG}}}
ALLOWED_IMPORT_PATHS: [/a]
CACHE_SETTINGS: {EXPIRES_TTL: 5}
`)
	set := load(t, settings.File(file), settings.Environ("PULP_", []string{
		"PULP_LOGGING__loggers__pulp__level=ERROR",
		`PULP_ALLOWED_IMPORT_PATHS=["/b", "dynaconf_merge"]`,
	}), settings.Append("ALLOWED_IMPORT_PATHS", "/c"), settings.Value("PAGE_SIZE", 5), settings.Value("K", m{"a": 1}),
		settings.Value("K", m{"b": 1}))
	f := "file " + file
	for _, row := range []struct {
		key    string
		value  any
		steps  []string
		layers []string
	}{
		{"WORKER_TTL", "30s", []string{"defaults"}, []string{"defaults"}},
		{"page_size", "5", []string{"defaults", "host option"}, []string{"host option"}},
		{
			"LOGGING__loggers__pulp__level", "ERROR",
			[]string{f, "environment variable PULP_LOGGING__loggers__pulp__level"},
			[]string{"environment variable PULP_LOGGING__loggers__pulp__level"},
		},
		{
			"LOGGING__loggers", "map[pulp:map[level:ERROR]]",
			[]string{"defaults", f, "+environment variable PULP_LOGGING__loggers__pulp__level"},
			[]string{f, "environment variable PULP_LOGGING__loggers__pulp__level"},
		},
		{
			"ALLOWED_IMPORT_PATHS", "[/a /b /c]",
			[]string{"defaults", f, "+environment variable PULP_ALLOWED_IMPORT_PATHS", "+host option"},
			[]string{f, "environment variable PULP_ALLOWED_IMPORT_PATHS", "host option"},
		},
		{"CACHE_SETTINGS__EXPIRES_TTL", "5", []string{"defaults", f}, []string{f}},
		{"K__a", "<nil>", []string{"host option", "host option"}, []string{"host option"}},
		{"NOPE", "<nil>", nil, nil},
		{"LOGGING__loggers__other", "<nil>", nil, nil},
	} {
		t.Run(row.key, func(t *testing.T) {
			t.Parallel()
			e := set.Explain(row.key)
			var steps []string
			for _, s := range e.Steps {
				name := s.Layer
				if s.Merged {
					name = "+" + name
				}
				steps = append(steps, name)
			}
			if got := fmt.Sprint(e.Value); got != row.value {
				t.Errorf("Value = %s, want %s", got, row.value)
			}
			if diff := cmp.Diff(row.steps, steps); diff != "" {
				t.Errorf("Steps (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.layers, e.Layers()); diff != "" {
				t.Errorf("Layers() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExplainOfADerivedValue(t *testing.T) {
	t.Parallel()
	set := load(t, settings.Value("DEPLOY_ROOT", "/srv/pulp"))
	if got := set.Explain("MEDIA_ROOT").Layers(); !cmp.Equal(got, []string{"derived from DEPLOY_ROOT"}) {
		t.Errorf("Layers() = %q", got)
	}
	if got := set.Explain("DEPLOY_ROOT").Layers(); !cmp.Equal(got, []string{"host option"}) {
		t.Errorf("Layers() = %q", got)
	}
}

// hunter2 is the password in every secret of the tests below.
const hunter2 = "hunter2"

func secretive(t *testing.T) *settings.Set {
	t.Helper()
	file := write(t, t.TempDir(), "s.yaml", `
SECRET_KEY: hunter2
REDIS_URL: redis://:hunter2@h/0
P_TOKENS: [hunter2]
P_NOTE: https://u:hunter2@h/
DATABASES: {default: {PASSWORD: hunter2, OPTIONS: {sslpassword: hunter2}}}
STORAGES:
  default:
    BACKEND: storages.backends.s3.S3Storage
    OPTIONS: {bucket_name: b, access_key: hunter2, secret_key: hunter2}
`)
	sec := settings.Define("p", struct {
		Tokens []settings.Secret
		Note   string
	}{})
	set, err := load(t, settings.File(file)).With(settings.Plugin{Name: "p", Sections: []settings.AnySection{sec}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestExplainAndGetHideSecrets(t *testing.T) {
	t.Parallel()
	set := secretive(t)
	for _, key := range append(set.Keys(), "DATABASES__default__PASSWORD", "STORAGES__default__OPTIONS__secret_key") {
		if s := set.Explain(key).String(); strings.Contains(s, hunter2) {
			t.Errorf("Explain(%s) = %s", key, s)
		}
		if v, _ := set.Get(key); strings.Contains(fmt.Sprintf("%v %+v %#v", v, v, v), hunter2) {
			t.Errorf("Get(%s) = %v", key, v)
		}
	}
	if c := set.Core(); strings.Contains(fmt.Sprintf("%v %+v %#v", c, c.RedisURL, c.StorageCredentials), hunter2) {
		t.Errorf("Core() = %v", c)
	}
}
