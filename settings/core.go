package settings

import (
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/webserver"
)

// Core is pulpcore's own settings. A field's tag is the name of the setting in files; prefix it with PULP_ in the
// environment. Paths are absolute once loaded; relative ones count from the directory in which Load was called.
// Durations are written as numbers of the unit that Pulp uses, seconds unless the field names another one, or as "90s".
//
// So that a file of a Pulp installation can be used as it is, some fields have no effect yet; they are read and
// checked, and their comments describe the effect that they will have: FileUploadTempDir, ChunkedUploadDir, SecretKey,
// APIRootRewriteHeader, RedisCACerts, CacheEnabled, CacheSettings, TaskDiagnostics, RedactUnsafeExceptions (unexpected
// errors are never shown), MaxConcurrentContent, SyncMaxInFlightBytes, SyncMaxInFlightItems, OrphanProtectionTime,
// UploadProtectionTime, PublicationRetention, AllowedExportPaths, ImportWorkersPercent, RemoteUserEnvironName, the
// AuthenticationJSONHeader and security scheme fields, AccessPolicies, VulnReportTaskLimiter and the Otel fields. An
// App warns of those that are given, and refuses DomainEnabled.
type Core struct {
	// DeployRoot is the folder that the other paths are derived from if they are not set. Default "pulp".
	DeployRoot string `setting:"DEPLOY_ROOT"`
	// MediaRoot is the folder of artifacts when they are kept in files. Default DEPLOY_ROOT/media.
	MediaRoot string `setting:"MEDIA_ROOT"`
	// WorkingDirectory is where tasks get their work directories. Default DEPLOY_ROOT/tmp.
	WorkingDirectory string `setting:"WORKING_DIRECTORY"`
	// FileUploadTempDir is where request bodies are spooled. Default WORKING_DIRECTORY.
	FileUploadTempDir string `setting:"FILE_UPLOAD_TEMP_DIR"`
	// ChunkedUploadDir is the storage prefix of upload chunks. Default "upload".
	ChunkedUploadDir string `setting:"CHUNKED_UPLOAD_DIR"`
	// DBEncryptionKey is the file of keys for secrets in the database, one per line, the first encrypts, all decrypt.
	// If it is not set, it is DEPLOY_ROOT/database_fields.symmetric.key, which need not exist yet.
	DBEncryptionKey string `setting:"DB_ENCRYPTION_KEY"`
	// SecretKey signs what clients hand back, such as redirects to guarded content. All processes need the same one.
	SecretKey Secret `setting:"SECRET_KEY"`

	// APIRoot is the path below which the API is mounted; begins and ends with a slash. Default "/pulp/".
	APIRoot string `setting:"API_ROOT"`
	// APIRootRewriteHeader names a request header that may give another API root; empty means none may.
	APIRootRewriteHeader string `setting:"API_ROOT_REWRITE_HEADER"`
	// ContentOrigin is scheme and host of the content app as clients see it, without a trailing slash; empty makes
	// base_url a path only.
	ContentOrigin string `setting:"CONTENT_ORIGIN"`
	// ContentHasOwnOrigin declares that browsers reach only content at ContentOrigin, and the API elsewhere, so that a
	// script in a served file cannot act on the API. Files requested there are then served without the header
	// Content-Security-Policy: sandbox, and the API refuses requests that come there. Default false.
	ContentHasOwnOrigin bool `setting:"CONTENT_HAS_OWN_ORIGIN"`
	// ContentPathPrefix is the path below which content is served. Default "/pulp/content/".
	ContentPathPrefix string `setting:"CONTENT_PATH_PREFIX"`
	// AllowedHosts lists the Host headers that the API accepts: names, addresses, ".example.com" for that name and those
	// below it, or "*". The hosts of LISTEN and CONTENT_ORIGIN, and the address that a client connected to, are accepted
	// besides. Default ".localhost", "127.0.0.1" and "[::1]".
	AllowedHosts []string `setting:"ALLOWED_HOSTS"`
	// TrustedProxies lists the reverse proxies whose headers X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are
	// trusted: addresses, networks such as "10.0.0.0/8", or "unix". From other clients these headers are removed. Default
	// none.
	TrustedProxies []string `setting:"TRUSTED_PROXIES"`
	// AccessLog writes a line of level INFO to the log for each request. Default false.
	AccessLog bool `setting:"ACCESS_LOG"`
	// CSRFTrustedOrigins lists the origins, besides the API's own, whose pages may send requests to the API that change
	// state: "scheme://host" or "scheme://host:port". Default none.
	CSRFTrustedOrigins []string `setting:"CSRF_TRUSTED_ORIGINS"`
	// HTTPHeaderTimeout, HTTPBodyTimeout, HTTPSendTimeout and HTTPIdleTimeout are how long a client may keep a
	// connection without moving, see webserver.Limits: the time for the header of a request, for the next 4 KiB of its
	// body, for the next 64 KiB of the answer, and until the next request.
	HTTPHeaderTimeout time.Duration `setting:"HTTP_HEADER_TIMEOUT"`
	HTTPBodyTimeout   time.Duration `setting:"HTTP_BODY_TIMEOUT"`
	HTTPSendTimeout   time.Duration `setting:"HTTP_SEND_TIMEOUT"`
	HTTPIdleTimeout   time.Duration `setting:"HTTP_IDLE_TIMEOUT"`
	// Listen is the TCP address that App.Run and the server roles serve on. Default "127.0.0.1:24817".
	Listen string `setting:"LISTEN"`
	// Workers is how many tasks a worker process executes at a time. Default 0: one per core, and two at least.
	Workers int `setting:"WORKERS"`
	// PageSize is the number of entries of a page of the API if the client names none. Default 100.
	PageSize int `setting:"PAGE_SIZE"`
	// HideGuardedDistributions leaves guarded distributions out of the content app's listing.
	HideGuardedDistributions bool `setting:"HIDE_GUARDED_DISTRIBUTIONS"`

	// DatabaseURL is "sqlite:<path>" or "postgres://…". Default: derived from DATABASES, or else
	// sqlite:DEPLOY_ROOT/pulp.db.
	DatabaseURL URL `setting:"DATABASE_URL"`
	// StorageURL is a gocloud bucket URL, whose driver the host imports unless it is file or mem. Default: derived from
	// STORAGES, or else file://MEDIA_ROOT. It never has credentials.
	StorageURL URL `setting:"STORAGE_URL"`
	// StorageCredentials belong to StorageURL. The host hands them to the driver, as examples/fileserver does; all
	// empty means that the driver finds its own, as gocloud's do.
	StorageCredentials StorageCredentials `setting:"STORAGE_CREDENTIALS"`
	// RedirectToObjectStorage sends clients to signed URLs where the storage can make them. Default true.
	RedirectToObjectStorage bool `setting:"REDIRECT_TO_OBJECT_STORAGE"`

	// RedisURL is redis://, rediss:// or unix://; empty means an in-process one. REDIS_HOST and its kin are turned
	// into it.
	RedisURL URL `setting:"REDIS_URL"`
	// RedisCACerts is a file of CA certificates for rediss; empty means the system's.
	RedisCACerts string `setting:"REDIS_SSL_CA_CERTS"`
	// CacheEnabled switches the content app's response cache on.
	CacheEnabled bool `setting:"CACHE_ENABLED"`
	// CacheSettings tunes the response cache.
	CacheSettings CacheSettings `setting:"CACHE_SETTINGS"`

	// APIAppTTL, ContentAppTTL and WorkerTTL are how long a process counts as alive after its last heartbeat.
	APIAppTTL     time.Duration `setting:"API_APP_TTL"`
	ContentAppTTL time.Duration `setting:"CONTENT_APP_TTL"`
	WorkerTTL     time.Duration `setting:"WORKER_TTL"`
	// TaskGraceInterval is how long a running task may go on when its worker was asked to stop.
	TaskGraceInterval time.Duration `setting:"TASK_GRACE_INTERVAL"`
	// TaskPreferDefer leaves even immediate tasks to the workers.
	TaskPreferDefer bool `setting:"TASK_PREFER_DEFER"`
	// TaskDiagnostics names the profiles to record for every task.
	TaskDiagnostics []string `setting:"TASK_DIAGNOSTICS"`
	// WorkerNameTemplate makes worker names from {pid}, {hostname} and {fqdn}. Default "{pid}@{hostname}".
	WorkerNameTemplate string `setting:"WORKER_NAME_TEMPLATE"`
	// RedactUnsafeExceptions keeps the text of unforeseen errors out of a task's error. Default false, as in Pulp.
	RedactUnsafeExceptions bool `setting:"REDACT_UNSAFE_EXCEPTIONS"`

	// MaxConcurrentContent bounds the units in a sync's downloader if SyncMaxInFlightItems is 0. Default 200.
	//
	// Deprecated: as in Pulp; set SYNC_MAX_IN_FLIGHT_ITEMS.
	MaxConcurrentContent int `setting:"MAX_CONCURRENT_CONTENT"`
	// SyncMaxInFlightBytes bounds the bytes that a sync downloaded and did not save yet. SYNC_MAX_IN_FLIGHT_MB
	// counts MiB; here it is bytes. Default 5 GiB.
	SyncMaxInFlightBytes int64 `setting:"SYNC_MAX_IN_FLIGHT_MB,unit=MiB"`
	// SyncMaxInFlightItems bounds the units between a sync's downloader and saver. Default MaxConcurrentContent.
	SyncMaxInFlightItems int `setting:"SYNC_MAX_IN_FLIGHT_ITEMS"`
	// RemoteContentFetchFailureCooldown is how long a remote that failed to deliver on demand is not asked again.
	RemoteContentFetchFailureCooldown time.Duration `setting:"REMOTE_CONTENT_FETCH_FAILURE_COOLDOWN"`

	// OrphanProtectionTime and its kin are how long things without an owner are kept. Numbers count minutes; 0 turns
	// the scheduled clean-up off.
	OrphanProtectionTime time.Duration `setting:"ORPHAN_PROTECTION_TIME,unit=m"`
	UploadProtectionTime time.Duration `setting:"UPLOAD_PROTECTION_TIME,unit=m"`
	TaskProtectionTime   time.Duration `setting:"TASK_PROTECTION_TIME,unit=m"`
	TmpfileProtection    time.Duration `setting:"TMPFILE_PROTECTION_TIME,unit=m"`
	// StrayProtectionTime is how old an object in the store must be that no row of the database points to, before it is
	// removed. It must be longer than any upload or download may take. Numbers count minutes; 0 keeps such objects for
	// ever. Default a day.
	StrayProtectionTime time.Duration `setting:"STRAY_PROTECTION_TIME,unit=m"`
	// PublicationRetention is how long content of a replaced publication stays available. Numbers count seconds.
	PublicationRetention time.Duration `setting:"DISTRIBUTED_PUBLICATION_RETENTION_PERIOD"`

	// AllowedContentChecksums is the list behind Checksums. After a change, artifacts must get the digests that it asks
	// for before a server starts: see the operations manual, and models.FixChecksums.
	AllowedContentChecksums []string `setting:"ALLOWED_CONTENT_CHECKSUMS"`
	// Checksums is the algorithms that may be used. Never nil.
	Checksums *hashlib.Checksums `setting:"-"`

	// AllowedImportPaths and AllowedExportPaths are the folders that imports and file:// remotes may read, and
	// exports may write. Empty means none.
	AllowedImportPaths []string `setting:"ALLOWED_IMPORT_PATHS"`
	AllowedExportPaths []string `setting:"ALLOWED_EXPORT_PATHS"`
	// ImportWorkersPercent is the share of workers that one import may occupy, 1 to 100.
	ImportWorkersPercent int `setting:"IMPORT_WORKERS_PERCENT"`

	// RemoteUserEnvironName names, as in CGI, where a trusted proxy puts the user: HTTP_X_USER is the header X-User.
	RemoteUserEnvironName string `setting:"REMOTE_USER_ENVIRON_NAME"`
	// AuthenticationJSONHeader is a header, written HTTP_X_…, that holds base64 of JSON in which the jq filter finds
	// the user. Both or neither are set.
	AuthenticationJSONHeader         string `setting:"AUTHENTICATION_JSON_HEADER"`
	AuthenticationJSONHeaderJQFilter string `setting:"AUTHENTICATION_JSON_HEADER_JQ_FILTER"`
	// AccessPolicies replaces access policies by viewset pattern, in Pulp's form.
	AccessPolicies map[string]any `setting:"ACCESS_POLICIES"`
	// RemoteUserSecurityScheme and AuthenticationJSONHeaderSecurityScheme are put into the OpenAPI document as they
	// are; nil means none.
	RemoteUserSecurityScheme               map[string]any `setting:"REMOTE_USER_OPENAPI_SECURITY_SCHEME"`
	AuthenticationJSONHeaderSecurityScheme map[string]any `setting:"AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME"`

	// DomainEnabled turns multi-tenancy on.
	DomainEnabled bool `setting:"DOMAIN_ENABLED"`
	// EnabledPlugins names the plugins of the program that are to be used; nil means all.
	EnabledPlugins []string `setting:"ENABLED_PLUGINS"`
	// VulnReportTaskLimiter bounds the concurrent requests of a vulnerability report.
	VulnReportTaskLimiter int `setting:"VULN_REPORT_TASK_LIMITER"`

	// OtelEnabled has no effect: metrics and traces are on when the host passes providers to the App.
	OtelEnabled bool `setting:"OTEL_ENABLED"`
	// OtelMetricsDispatchInterval is the pause between metrics of domains. Numbers count minutes.
	OtelMetricsDispatchInterval time.Duration `setting:"OTEL_METRICS_DISPATCH_INTERVAL_MINUTES,unit=m"`
	// OtelAPIHistogramBuckets are the upper bounds of request durations, in milliseconds, ascending; empty means
	// OpenTelemetry's own.
	OtelAPIHistogramBuckets []float64 `setting:"OTEL_PULP_API_HISTOGRAM_BUCKETS"`

	// Logging is which records are written and how; see [Set.Logger].
	Logging Logging `setting:"LOGGING"`
}

// StorageCredentials are static credentials of an object storage.
type StorageCredentials struct {
	AccessKey    Secret // S3
	SecretKey    Secret // S3
	SessionToken Secret // S3
	AccountKey   Secret // Azure
}

// CacheSettings tunes the response cache.
type CacheSettings struct {
	ExpiresTTL time.Duration `setting:"EXPIRES_TTL"` // of an entry; Default 600 s
}

// coreSection is an immutable definition, like a plugin's.
var coreSection = Define("", Core{
	DeployRoot:                        "pulp",
	ChunkedUploadDir:                  "upload",
	APIRoot:                           "/pulp/",
	ContentPathPrefix:                 "/pulp/content/",
	AllowedHosts:                      []string{".localhost", "127.0.0.1", "[::1]"},
	HTTPHeaderTimeout:                 webserver.DefaultHeaderTimeout,
	HTTPBodyTimeout:                   webserver.DefaultBodyTimeout,
	HTTPSendTimeout:                   webserver.DefaultSendTimeout,
	HTTPIdleTimeout:                   webserver.DefaultIdleTimeout,
	Listen:                            "127.0.0.1:24817",
	PageSize:                          100,
	RedirectToObjectStorage:           true,
	CacheSettings:                     CacheSettings{ExpiresTTL: 600 * time.Second},
	APIAppTTL:                         120 * time.Second,
	ContentAppTTL:                     30 * time.Second,
	WorkerTTL:                         30 * time.Second,
	TaskGraceInterval:                 600 * time.Second,
	WorkerNameTemplate:                "{pid}@{hostname}",
	MaxConcurrentContent:              200,
	SyncMaxInFlightBytes:              5120 << 20,
	RemoteContentFetchFailureCooldown: 300 * time.Second,
	OrphanProtectionTime:              1440 * time.Minute,
	StrayProtectionTime:               1440 * time.Minute,
	PublicationRetention:              259200 * time.Second,
	AllowedContentChecksums:           []string{"sha224", "sha256", "sha384", "sha512"},
	ImportWorkersPercent:              100,
	RemoteUserEnvironName:             "REMOTE_USER",
	VulnReportTaskLimiter:             10,
	OtelMetricsDispatchInterval:       5 * time.Minute,
	Logging:                           Logging{Format: "text", Root: Logger{Level: new(LevelInfo)}},
})
