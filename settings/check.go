package settings

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver"
)

// checker collects the faults of validators, with the layer that each wrong value came from.
type checker struct {
	set    *Set
	faults []error
}

func (c *checker) want(ok bool, key, reason string) {
	if !ok {
		c.faults = append(c.faults, &Fault{Key: key, Layer: c.set.source(splitKey(key)), Reason: reason})
	}
}

// settle fills in the fields that are made of others and validates the whole.
func (c *Core) settle(set *Set) []error {
	ck := &checker{set: set}
	sums, err := hashlib.Allow(c.AllowedContentChecksums...)
	if err != nil {
		ck.want(false, "ALLOWED_CONTENT_CHECKSUMS", "is wrong: "+pulperr.Message(err))
		sums = hashlib.Default()
	}
	c.Checksums = sums
	c.ContentOrigin = strings.TrimSuffix(c.ContentOrigin, "/")
	// MAX_CONCURRENT_CONTENT is the older name of this limit: a file that has only that keeps its value.
	if c.SyncMaxInFlightItems == 0 {
		c.SyncMaxInFlightItems = c.MaxConcurrentContent
	}
	c.checkWeb(ck)
	c.checkBackends(ck)
	c.checkNumbers(ck)
	c.checkAuth(ck)
	c.checkFiles(ck)
	c.Logging.check(ck)
	return ck.faults
}

func (c *Core) checkWeb(ck *checker) {
	for _, p := range []struct{ key, path string }{
		{"API_ROOT", c.APIRoot}, {"CONTENT_PATH_PREFIX", c.ContentPathPrefix},
	} {
		// Both paths are compared as prefixes: without the slash at the end, /pulp/content would match /pulp/contents, too.
		slashes := strings.HasPrefix(p.path, "/") && strings.HasSuffix(p.path, "/")
		ck.want(slashes, p.key, "does not begin and end with a slash")
		// No request could reach such a path: ? and # end a path, % is decoded, and servers clean // and .. away. Braces
		// would declare a parameter of the route.
		plain := !strings.ContainsAny(p.path, "?#%{} ") && !strings.Contains(p.path, "//") &&
			!slices.Contains(strings.Split(p.path, "/"), "..")
		ck.want(!slashes || plain, p.key, "is not a plain path")
	}
	// The content app gets every path below its prefix, so the API would get no request.
	ck.want(c.APIRoot != c.ContentPathPrefix, "CONTENT_PATH_PREFIX", "equals API_ROOT")
	ck.want(isToken(c.APIRootRewriteHeader), "API_ROOT_REWRITE_HEADER", "is not the name of a header")
	if c.ContentOrigin != "" {
		u, err := url.Parse(c.ContentOrigin)
		ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
		ck.want(ok, "CONTENT_ORIGIN", "is not http:// or https:// and a host")
		// CONTENT_ORIGIN begins every base_url, which the API shows to clients: a password would be published.
		ck.want(!ok || u.User == nil && u.RawQuery == "" && u.Fragment == "", "CONTENT_ORIGIN",
			"has more than scheme, host and path")
		// The same-origin policy of browsers ignores paths, so a path cannot separate served files from the API.
		ck.want(!ok || !c.ContentHasOwnOrigin || u.Path == "", "CONTENT_ORIGIN",
			"has a path; with CONTENT_HAS_OWN_ORIGIN it must be scheme and host only")
	}
	// Without the origin the API could not recognize, and refuse, requests that come to it.
	ck.want(!c.ContentHasOwnOrigin || c.ContentOrigin != "", "CONTENT_HAS_OWN_ORIGIN",
		"needs CONTENT_ORIGIN, which is empty")
	_, err := webserver.TrustOrigins(c.CSRFTrustedOrigins...)
	ck.want(err == nil, "CSRF_TRUSTED_ORIGINS", fmt.Sprint("is wrong: ", err))
	ck.want(len(c.AllowedHosts) > 0, "ALLOWED_HOSTS", "is empty, so no request could be accepted")
	ck.want(c.PageSize >= 1, "PAGE_SIZE", "is less than 1")
	ck.want(c.Workers >= 0, "WORKERS", "is negative")
}

func (c *Core) checkBackends(ck *checker) {
	ck.want(slices.Contains([]string{"sqlite", "postgres", "postgresql"}, c.DatabaseURL.Scheme()),
		"DATABASE_URL", "is neither sqlite: nor postgres://")
	ck.want(c.StorageURL.Scheme() != "", "STORAGE_URL", "is not a URL such as file:///path or s3://bucket")
	signs := slices.Contains([]string{"file", "mem", "s3", "gs", "azblob"}, c.StorageURL.Scheme())
	ck.want(signs || !c.RedirectToObjectStorage || c.StorageURL.Scheme() == "", "REDIRECT_TO_OBJECT_STORAGE",
		"is on, but this kind of storage is not known to sign URLs; set it to false")
	ck.want(c.RedisURL.IsZero() || slices.Contains([]string{"redis", "rediss", "unix"}, c.RedisURL.Scheme()),
		"REDIS_URL", "is none of redis://, rediss://, unix://")
	ck.want(c.CacheSettings.ExpiresTTL > 0, "CACHE_SETTINGS__EXPIRES_TTL", "is not more than 0")
}

func (c *Core) checkNumbers(ck *checker) {
	// With a TTL of 0 each process would count as dead at once. For webserver.Limits a timeout of 0 is its default, and
	// not "no timeout", which an operator may mean by it.
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"API_APP_TTL", c.APIAppTTL},
		{"CONTENT_APP_TTL", c.ContentAppTTL},
		{"WORKER_TTL", c.WorkerTTL},
		{"HTTP_HEADER_TIMEOUT", c.HTTPHeaderTimeout},
		{"HTTP_BODY_TIMEOUT", c.HTTPBodyTimeout},
		{"HTTP_SEND_TIMEOUT", c.HTTPSendTimeout},
		{"HTTP_IDLE_TIMEOUT", c.HTTPIdleTimeout},
		{"OTEL_METRICS_DISPATCH_INTERVAL_MINUTES", c.OtelMetricsDispatchInterval},
	} {
		ck.want(d.value > 0, d.key, "is not more than 0")
	}
	// Here 0 has a meaning: it turns the clean-up, the cooldown or the grace off.
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"TASK_GRACE_INTERVAL", c.TaskGraceInterval},
		{"REMOTE_CONTENT_FETCH_FAILURE_COOLDOWN", c.RemoteContentFetchFailureCooldown},
		{"ORPHAN_PROTECTION_TIME", c.OrphanProtectionTime},
		{"UPLOAD_PROTECTION_TIME", c.UploadProtectionTime},
		{"TASK_PROTECTION_TIME", c.TaskProtectionTime},
		{"TMPFILE_PROTECTION_TIME", c.TmpfileProtection},
		{"STRAY_PROTECTION_TIME", c.StrayProtectionTime},
		{"DISTRIBUTED_PUBLICATION_RETENTION_PERIOD", c.PublicationRetention},
	} {
		ck.want(d.value >= 0, d.key, "is less than 0")
	}
	ck.want(c.MaxConcurrentContent >= 1, "MAX_CONCURRENT_CONTENT", "is less than 1")
	ck.want(c.SyncMaxInFlightBytes >= 1, "SYNC_MAX_IN_FLIGHT_MB", "is less than 1")
	ck.want(c.SyncMaxInFlightItems >= 0, "SYNC_MAX_IN_FLIGHT_ITEMS", "is less than 0")
	ck.want(c.VulnReportTaskLimiter >= 1, "VULN_REPORT_TASK_LIMITER", "is less than 1")
	ck.want(c.ImportWorkersPercent >= 1 && c.ImportWorkersPercent <= 100, "IMPORT_WORKERS_PERCENT",
		"is not between 1 and 100")
	b := c.OtelAPIHistogramBuckets
	// Compact changes the slice that it is given, and this one is the value of the setting.
	ck.want(slices.IsSorted(b) && len(slices.Compact(slices.Clone(b))) == len(b), "OTEL_PULP_API_HISTOGRAM_BUCKETS",
		"is not ascending")
	ck.want(c.EnabledPlugins == nil || len(c.EnabledPlugins) > 0, "ENABLED_PLUGINS",
		"is an empty list; name a plugin, or leave it out to use all")
}

func (c *Core) checkAuth(ck *checker) {
	header, filter := c.AuthenticationJSONHeader, c.AuthenticationJSONHeaderJQFilter
	ck.want(header == "" || strings.HasPrefix(header, "HTTP_"), "AUTHENTICATION_JSON_HEADER",
		"does not begin with HTTP_")
	ck.want(filter == "" || strings.HasPrefix(filter, "."), "AUTHENTICATION_JSON_HEADER_JQ_FILTER",
		"does not begin with a dot")
	ck.want((header == "") == (filter == ""), "AUTHENTICATION_JSON_HEADER",
		"and AUTHENTICATION_JSON_HEADER_JQ_FILTER must both be set, or neither")
	rest := strings.NewReplacer("{pid}", "", "{hostname}", "", "{fqdn}", "").Replace(c.WorkerNameTemplate)
	ck.want(!strings.ContainsAny(rest, "{}"), "WORKER_NAME_TEMPLATE",
		"has a placeholder other than {pid}, {hostname}, {fqdn}")
	ck.want(c.WorkerNameTemplate != "", "WORKER_NAME_TEMPLATE", "is empty")
}

func (c *checker) wantAbsolute(key string, paths []string) {
	for _, p := range paths {
		c.want(filepath.IsAbs(p), key, fmt.Sprintf("has the path %q, which is not absolute", p))
	}
}

func (c *Core) checkFiles(ck *checker) {
	ck.wantAbsolute("ALLOWED_IMPORT_PATHS", c.AllowedImportPaths)
	ck.wantAbsolute("ALLOWED_EXPORT_PATHS", c.AllowedExportPaths)
	// It is a prefix of names in the store: with .. these names would lie outside of it.
	ck.want(c.ChunkedUploadDir != "" && filepath.IsLocal(c.ChunkedUploadDir), "CHUNKED_UPLOAD_DIR",
		"is not a relative path")
	key := []string{"DB_ENCRYPTION_KEY"}
	// Open makes the key file at its default place. One that the operator names must exist: a missing file more likely
	// means that its volume is not mounted, and a new key would make the stored secrets unreadable.
	derived := strings.HasPrefix(ck.set.source(key), "derived from DEPLOY_ROOT")
	if err := checkKeyFile(c.DBEncryptionKey, derived); err != nil && c.DBEncryptionKey != "" {
		ck.want(false, key[0], err.Error())
	}
}

// isToken reports whether name could be a header's, or is empty.
func isToken(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// checkKeyFile checks that every line of a key file is a key: 32 bytes in URL-safe base64, as Fernet has them. Empty
// lines and lines that begin with # are passed over. A file that does not exist is fine if absentOK.
func checkKeyFile(path string, absentOK bool) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && absentOK {
		return nil
	}
	if err != nil {
		return errors.New("names a file that cannot be read: " + err.Error())
	}
	keys := 0
	for n, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.URLEncoding.DecodeString(line)
		if err != nil || len(key) != 32 {
			// The error has the number of the line and not its text, which may be a key with a typing error.
			return fmt.Errorf("names a file whose line %d is not a key: %s", n+1, path)
		}
		keys++
	}
	if keys == 0 {
		return errors.New("names a file without a key: " + path)
	}
	return nil
}
