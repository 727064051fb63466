package pulpcore

import (
	"fmt"
	"net"
	"net/http"
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
		"ACCESS_POLICIES", "REMOTE_USER_ENVIRON_NAME", "AUTHENTICATION_JSON_HEADER", "API_ROOT_REWRITE_HEADER",
		"CACHE_ENABLED", "REDIS_SSL_CA_CERTS", "TASK_DIAGNOSTICS", "ORPHAN_PROTECTION_TIME",
		"UPLOAD_PROTECTION_TIME", "ALLOWED_EXPORT_PATHS", "SYNC_MAX_IN_FLIGHT_MB",
		"SYNC_MAX_IN_FLIGHT_ITEMS", "MAX_CONCURRENT_CONTENT", "DISTRIBUTED_PUBLICATION_RETENTION_PERIOD", "OTEL_ENABLED",
	} {
		for _, step := range set.Explain(key).Steps {
			if step.Layer != "defaults" {
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

// onlyHosts refuses requests whose Host header ALLOWED_HOSTS does not list.
func onlyHosts(allowed []string, h http.Handler) http.Handler {
	if slices.Contains(allowed, "*") {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hostAllowed(allowed, r.Host) {
			http.Error(w, "Bad Request: this host is not allowed", http.StatusBadRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func hostAllowed(allowed []string, host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(allowed, func(a string) bool {
		a = strings.ToLower(a)
		if suffix, ok := strings.CutPrefix(a, "."); ok {
			return host == suffix || strings.HasSuffix(host, a)
		}
		return host == a
	})
}
