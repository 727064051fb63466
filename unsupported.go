package pulpcore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
)

// withoutEffect lists settings that were given although nothing acts on them yet, for the log. A host must not believe
// that they protect it.
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
			if step.Layer != "defaults" && !strings.HasPrefix(step.Layer, "derived from ") {
				given = append(given, key)
				break
			}
		}
	}
	return given
}

// checkUnsupported refuses settings that would change what the server means.
func checkUnsupported(set *settings.Set) error {
	if set.Core().DomainEnabled {
		return pulperr.Public(pulperr.Invalid, "DOMAIN_ENABLED: domains beside the default one are not served yet; "+
			"set it to false")
	}
	return nil
}

// enabled returns the plugins that ENABLED_PLUGINS leaves.
func enabled(set *settings.Set, plugins []*Plugin) ([]*Plugin, error) {
	names := set.Core().EnabledPlugins
	if names == nil {
		return plugins, nil
	}
	var some []*Plugin
	left := slices.Clone(names)
	for _, p := range plugins {
		if slices.Contains(names, p.Name) {
			some = append(some, p)
		}
		left = slices.DeleteFunc(left, func(n string) bool { return n == p.Name })
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("ENABLED_PLUGINS names %q, which this program does not have; drop them, "+
			"or give their plugins to Open", left)
	}
	return some, nil
}
