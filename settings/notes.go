package settings

// meaningless returns why a setting of Pulp has no meaning here, or "" for any other key. A settings file of a Pulp
// installation can be used as it is; Set.Notes lists its settings without a meaning here.
func meaningless(key string) string {
	switch key {
	case "SETTINGS", "ENV_FOR_DYNACONF", "DYNACONF_INCLUDE":
		return "the host program names the files"
	case "INSTALLED_APPS", "MIDDLEWARE", "ROOT_URLCONF", "TEMPLATES", "WSGI_APPLICATION", "DEFAULT_AUTO_FIELD",
		"AUTH_PASSWORD_VALIDATORS", "AUTHENTICATION_BACKENDS", "DRF_ACCESS_POLICY", "SPECTACULAR_SETTINGS",
		"LANGUAGE_CODE", "TIME_ZONE", "USE_I18N", "USE_L10N", "USE_TZ",
		"SECURE_PROXY_SSL_HEADER", "DATA_UPLOAD_MAX_MEMORY_SIZE", "FILE_UPLOAD_HANDLERS", "DEBUG",
		"DEFAULT_FILE_STORAGE", "SESSION_COOKIE_NAME", "LOGIN_URL", "LOGIN_REDIRECT_URL", "LOGOUT_REDIRECT_URL":
		return "it configures Django"
	case "STATIC_ROOT", "STATIC_URL", "STATICFILES_STORAGE", "STATICFILES_DIRS":
		return "there are no static files"
	case "UVLOOP_ENABLED":
		return "there is no Python event loop"
	case "WORKER_TYPE":
		return "there is one task engine"
	case "ENABLE_V4_API", "OAS_VERSION":
		return "the API is version 3"
	case "ANALYTICS":
		return "the library sends no usage data"
	case "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TASKS_STATUS_TOPIC", "KAFKA_TASKS_STATUS_PRODUCER_SYNC_ENABLED",
		"KAFKA_PRODUCER_POLL_TIMEOUT", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SSL_CA_PEM", "KAFKA_SASL_MECHANISM",
		"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD":
		return "there is no Kafka client"
	}
	return ""
}
