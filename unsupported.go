package pulpcore

import (
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
)

// withoutEffect lists the configured settings that the library does not implement yet. Open logs them, so that a host
// does not rely on a setting without effect.
func withoutEffect(set *settings.Set) []string {
	var given []string
	for _, key := range []string{
		"ACCESS_POLICIES", "ALLOWED_EXPORT_PATHS", "API_ROOT_REWRITE_HEADER", "AUTHENTICATION_JSON_HEADER",
		"AUTHENTICATION_JSON_HEADER_JQ_FILTER", "AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME", "CACHE_ENABLED",
		"CACHE_SETTINGS", "CHUNKED_UPLOAD_DIR", "DISTRIBUTED_PUBLICATION_RETENTION_PERIOD", "FILE_UPLOAD_TEMP_DIR",
		"IMPORT_WORKERS_PERCENT", "MAX_CONCURRENT_CONTENT", "ORPHAN_PROTECTION_TIME", "OTEL_ENABLED",
		"OTEL_METRICS_DISPATCH_INTERVAL_MINUTES", "OTEL_PULP_API_HISTOGRAM_BUCKETS", "REDACT_UNSAFE_EXCEPTIONS",
		"REDIS_SSL_CA_CERTS", "REMOTE_USER_ENVIRON_NAME", "REMOTE_USER_OPENAPI_SECURITY_SCHEME", "SECRET_KEY",
		"SYNC_MAX_IN_FLIGHT_ITEMS", "SYNC_MAX_IN_FLIGHT_MB", "TASK_DIAGNOSTICS", "UPLOAD_PROTECTION_TIME",
		"VULN_REPORT_TASK_LIMITER",
	} {
		for _, step := range set.Explain(key).Steps {
			// Each setting has a default, and some follow from others: neither was configured by the operator.
			if step.Layer != "defaults" && !strings.HasPrefix(step.Layer, "derived from ") {
				given = append(given, key)
				break
			}
		}
	}
	return given
}

// checkUnsupported refuses settings that the library does not implement and that must not be ignored.
func checkUnsupported(set *settings.Set) error {
	// A warning is not enough: without domains the tenants would share one, and read and change the content of others.
	if set.Core().DomainEnabled {
		return pulperr.Public(pulperr.Invalid, "DOMAIN_ENABLED: domains beside the default one are not served yet; "+
			"set it to false")
	}
	return nil
}
