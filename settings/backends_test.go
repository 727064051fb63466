package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/settings"
)

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	db := func(entry m) settings.Option { return settings.Value("DATABASES", m{"default": entry}) }
	for _, row := range []struct {
		name string
		opt  settings.Option
		want string
	}{
		{"embedded", settings.Value("DEPLOY_ROOT", "/srv/my pulp"), "sqlite:/srv/my pulp/pulp.db"},
		{"as given", settings.Value("DATABASE_URL", "postgres://h/d"), "postgres://h/d"},
		{"relative", settings.Value("DATABASE_URL", "sqlite:x.db?_pragma=a"), "sqlite:" + wd + "/x.db?_pragma=a"},
		{"all of Pulp's", db(m{
			"ENGINE": "django.db.backends.postgresql", "NAME": "d b", "USER": "u", "PASSWORD": "p@/:w", "HOST": "h",
			"PORT": 5433, "CONN_MAX_AGE": 0, "OPTIONS": m{"sslmode": "require", "connect_timeout": 5},
		}), "postgres://u:p%40%2F%3Aw@h:5433/d%20b?connect_timeout=5&sslmode=require"},
		{"Pulp's defaults", db(m{"PASSWORD": "x"}), "postgres://pulp:x@localhost/pulp"},
		{"a socket", db(m{"HOST": "/run/pg", "PORT": "1"}), "postgres://pulp@/pulp?host=%2Frun%2Fpg&port=1"},
		{"IPv6", db(m{"HOST": "::1"}), "postgres://pulp@[::1]/pulp"},
		{"IPv6 with a port", db(m{"HOST": "::1", "PORT": "1"}), "postgres://pulp@[::1]:1/pulp"},
		{"SQLite", db(m{"ENGINE": "django.db.backends.sqlite3", "NAME": "/x.db"}), "sqlite:/x.db"},
		{
			"from the environment", settings.Environ("PULP_", []string{"PULP_DATABASES__default__PASSWORD=0042"}),
			"postgres://pulp:0042@localhost/pulp",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := load(t, row.opt).Core().DatabaseURL.Reveal(); got != row.want {
				t.Errorf("DatabaseURL = %q, want %q", got, row.want)
			}
		})
	}
}

func TestStorageURL(t *testing.T) {
	t.Parallel()
	storage := func(backend string, options m) settings.Option {
		return settings.Value("STORAGES", m{"default": m{"BACKEND": backend, "OPTIONS": options}})
	}
	for _, row := range []struct {
		name string
		opt  settings.Option
		want string
	}{
		{"embedded", settings.Value("MEDIA_ROOT", "/srv/my media"), "file:///srv/my%20media"},
		{"as given", settings.Value("STORAGE_URL", "mem://"), "mem://"},
		{"Pulp's folder", storage("pulpcore.app.models.storage.FileSystem", m{"location": "/m"}), "file:///m"},
		{"S3", storage("storages.backends.s3.S3Storage", m{
			"bucket_name": "b", "region_name": "eu-1", "access_key": "a", "secret_key": "s", "default_acl": "private",
		}), "s3://b?region=eu-1"},
		{"another S3", storage("storages.backends.s3boto3.S3Boto3Storage", m{
			"bucket_name": "b", "endpoint_url": "http://h:9000", "location": "/pre/",
		}), "s3://b?endpoint=http%3A%2F%2Fh%3A9000&prefix=pre%2F&use_path_style=true"},
		{"S3 by path", storage("S3Storage", m{"bucket_name": "b", "addressing_style": "path"}), "s3://b?use_path_style=true"},
		{"S3 by name", storage("S3Storage", m{
			"bucket_name": "b", "endpoint_url": "http://h", "addressing_style": "virtual",
		}), "s3://b?endpoint=http%3A%2F%2Fh"},
		{"Azure", storage("storages.backends.azure_storage.AzureStorage", m{
			"account_name": "me", "azure_container": "c", "account_key": "k",
		}), "azblob://c?storage_account=me"},
		{"Google", storage("storages.backends.gcloud.GoogleCloudStorage", m{"bucket_name": "b"}), "gs://b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := load(t, row.opt).Core().StorageURL.Reveal(); got != row.want {
				t.Errorf("StorageURL = %q, want %q", got, row.want)
			}
		})
	}
}

func TestStorageCredentials(t *testing.T) {
	t.Parallel()
	c := load(t, settings.Value("STORAGES", m{"default": m{"BACKEND": "S3Storage", "OPTIONS": m{
		"bucket_name": "b", "access_key": "a", "secret_key": "s", "security_token": "t",
	}}})).Core().StorageCredentials
	if c.AccessKey.Reveal() != "a" || c.SecretKey.Reveal() != "s" || c.SessionToken.Reveal() != "t" {
		t.Errorf("StorageCredentials = %q %q %q", c.AccessKey.Reveal(), c.SecretKey.Reveal(), c.SessionToken.Reveal())
	}
}

func TestRedisURL(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		env  []string
		want string
	}{
		{"in-process", nil, ""},
		{"as given", []string{"P_REDIS_URL=unix:///run/redis.sock", "P_REDIS_HOST=h"}, "unix:///run/redis.sock"},
		{"a host", []string{"P_REDIS_HOST=h"}, "redis://h:6379/0"},
		{
			"everything",
			[]string{"P_REDIS_HOST=h", "P_REDIS_PORT=1", "P_REDIS_DB=2", "P_REDIS_PASSWORD=1e5", "P_REDIS_SSL=true"},
			"rediss://:1e5@h:1/2",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := load(t, settings.Environ("P_", row.env)).Core().RedisURL.Reveal(); got != row.want {
				t.Errorf("RedisURL = %q, want %q", got, row.want)
			}
		})
	}
}

func TestBackendFaults(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		env  string
		want string
	}{
		{`P_DATABASES={"other": {}}`, `DATABASES has no entry "default" (environment variable P_DATABASES)`},
		{`P_DATABASES__default__ENGINE=django.db.backends.mysql`, "is neither postgresql nor sqlite3"},
		{`P_DATABASES__default__ENGINE=sqlite3`, "DATABASES__default__NAME is not a path"},
		{`P_DATABASES__default__PORT=x`, "DATABASES__default__PORT is not a port"},
		{`P_DATABASES__default__OPTIONS={"a": [1]}`, "DATABASES__default__OPTIONS__a is not a text or number"},
		{`P_DATABASES__default__PASSWROD=x`, `did you mean "PASSWORD"`},
		{`P_STORAGES__default__BACKEND=x.FTPStorage`, "is not a known backend"},
		{`P_STORAGES__default__BACKEND=x.S3Storage`, "bucket_name is missing"},
		{`P_STORAGES__default__BACKEND=x.GoogleCloudStorage`, "bucket_name is missing"},
		{`P_STORAGES__default__BACKEND=x.AzureStorage`, "azure_container is missing"},
		{
			`P_STORAGES={"default": {"BACKEND": "S3Storage", "OPTIONS": {"bucket_name": "b", "addressing_style": "x"}}}`,
			"is none of auto, path, virtual",
		},
	} {
		t.Run(row.env, func(t *testing.T) {
			t.Parallel()
			_, err := settings.Load(settings.Environ("P_", []string{row.env}))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Load() = %v, want %q", err, row.want)
			}
		})
	}
}

func TestPageSizeOfRESTFramework(t *testing.T) {
	t.Parallel()
	rest := settings.Value("REST_FRAMEWORK", m{"PAGE_SIZE": 7, "EXCEPTION_HANDLER": "x"})
	if got := load(t, rest).Core().PageSize; got != 7 {
		t.Errorf("PageSize = %d, want 7", got)
	}
	if got := load(t, rest, settings.Value("PAGE_SIZE", 8)).Core().PageSize; got != 8 {
		t.Errorf("PageSize = %d, want 8, PAGE_SIZE wins", got)
	}
}

func TestRelativePathsAreMadeAbsolute(t *testing.T) {
	t.Parallel()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, settings.Value("DEPLOY_ROOT", "d"), settings.Value("MEDIA_ROOT", "m/../x")).Core()
	if c.DeployRoot != filepath.Join(wd, "d") || c.MediaRoot != filepath.Join(wd, "x") {
		t.Errorf("DeployRoot, MediaRoot = %q, %q", c.DeployRoot, c.MediaRoot)
	}
	if c.WorkingDirectory != filepath.Join(wd, "d", "tmp") {
		t.Errorf("WorkingDirectory = %q", c.WorkingDirectory)
	}
}
