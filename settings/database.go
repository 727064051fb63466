package settings

import (
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// pulpDatabase is an entry of Django's DATABASES.
type pulpDatabase struct {
	Engine   string         `setting:"ENGINE"`
	Name     string         `setting:"NAME"`
	User     string         `setting:"USER"`
	Password Secret         `setting:"PASSWORD"`
	Host     string         `setting:"HOST"`
	Port     string         `setting:"PORT"`
	Options  map[string]any `setting:"OPTIONS"`

	_ struct{} `setting:",ignore=CONN_MAX_AGE CONN_HEALTH_CHECKS ATOMIC_REQUESTS AUTOCOMMIT TIME_ZONE TEST"`
	_ struct{} `setting:",ignore=DISABLE_SERVER_SIDE_CURSORS"`
}

// fromDatabases derives DATABASE_URL, if it is not set, from DATABASES, or else takes the embedded database.
func fromDatabases(core Core, pulp pulpKeys) ([]derivation, error) {
	if given := core.DatabaseURL; !given.IsZero() {
		// A relative path counts from the directory of Load, even if the program changes its directory later.
		path, isFile := strings.CutPrefix(given.Reveal(), "sqlite:")
		if !isFile || path == "" || filepath.IsAbs(path) {
			return nil, nil
		}
		// The query has options of the driver, such as _pragma, and is no part of the file name.
		path, query, hasQuery := strings.Cut(path, "?")
		u, err := sqliteURL("DATABASE_URL", path)
		if hasQuery {
			u = NewURL(u.Reveal() + "?" + query)
		}
		return []derivation{{"DATABASE_URL", "a relative DATABASE_URL", u}}, err
	}
	db, ok := pulp.Databases["default"]
	if !ok {
		// Otherwise the server would start on a new SQLite file while the data is in the database that DATABASES names.
		if len(pulp.Databases) > 0 {
			return nil, wrongKey("DATABASES", "has no entry \"default\"")
		}
		u, err := sqliteURL("DEPLOY_ROOT", filepath.Join(core.DeployRoot, "pulp.db"))
		return []derivation{{"DATABASE_URL", "DEPLOY_ROOT", u}}, err
	}
	u, err := db.url()
	if err != nil {
		return nil, err
	}
	return []derivation{{"DATABASE_URL", "DATABASES", u}}, nil
}

func (db pulpDatabase) url() (URL, error) {
	switch engine := db.Engine[strings.LastIndexByte(db.Engine, '.')+1:]; engine {
	case "", "postgresql", "postgresql_psycopg2":
		return db.postgres()
	case "sqlite3":
		return sqliteURL("DATABASES__default__NAME", db.Name)
	default:
		return URL{}, wrongKey("DATABASES__default__ENGINE", "%q is neither postgresql nor sqlite3", db.Engine)
	}
}

// sqliteURL names the database in a file; key is the setting that gave the path.
func sqliteURL(key, path string) (URL, error) {
	path = strings.TrimPrefix(path, "//")
	abs, err := filepath.Abs(path)
	// The path is not escaped within the URL: the driver would read what follows a ? as its options.
	if err != nil || path == "" || strings.Contains(abs, "?") {
		return URL{}, wrongKey(key, "is not a path for a SQLite database")
	}
	return NewURL("sqlite:" + abs), nil
}

func (db pulpDatabase) postgres() (URL, error) {
	name, user := db.Name, db.User
	if name == "" {
		name = "pulp" // Pulp's own defaults
	}
	if user == "" {
		user = "pulp"
	}
	u := url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + name}
	if !db.Password.IsZero() {
		u.User = url.UserPassword(user, db.Password.Reveal())
	}
	var faults []error
	q := url.Values{}
	switch port, err := strconv.ParseUint(db.Port, 10, 16); {
	case strings.HasPrefix(db.Host, "/"): // the folder of a Unix socket
		// The host of a URL cannot be a folder; Postgres drivers read that from the query.
		q.Set("host", db.Host)
		if db.Port != "" {
			q.Set("port", db.Port)
		}
	case db.Port != "" && (err != nil || port == 0):
		faults = append(faults, wrongKey("DATABASES__default__PORT", "is not a port"))
	case db.Host == "" && db.Port == "":
		u.Host = "localhost"
	default:
		u.Host = hostPort(db.Host, db.Port)
	}
	// Sorted, so that each process makes the same URL and lists faults in the same order.
	for _, k := range sortedKeys(db.Options) {
		v, ok := asText(db.Options[k])
		if !ok {
			faults = append(faults, wrongKey("DATABASES__default__OPTIONS__"+k, "is not a text or number"))
			continue
		}
		q.Set(k, v)
	}
	u.RawQuery = q.Encode()
	return NewURL(u.String()), errors.Join(faults...)
}

// hostPort joins host and port; either may be empty.
func hostPort(host, port string) string {
	if host == "" {
		host = "localhost"
	}
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		// A URL needs brackets around an IPv6 address, or its last group would be read as the port.
		return "[" + host + "]"
	}
	return host
}

// fromRedis derives REDIS_URL, if it is not set, from REDIS_HOST and the other REDIS settings.
func fromRedis(core Core, pulp pulpKeys) ([]derivation, error) {
	if pulp.RedisPort < 0 || pulp.RedisPort > 65535 {
		return nil, wrongKey("REDIS_PORT", "is not a port")
	}
	if !core.RedisURL.IsZero() || pulp.RedisHost == "" {
		return nil, nil
	}
	u := url.URL{Scheme: "redis", Path: "/" + strconv.Itoa(pulp.RedisDB)}
	if pulp.RedisSSL {
		u.Scheme = "rediss"
	}
	if !pulp.RedisPassword.IsZero() {
		u.User = url.UserPassword("", pulp.RedisPassword.Reveal())
	}
	port := "6379"
	if pulp.RedisPort != 0 {
		port = strconv.Itoa(pulp.RedisPort)
	}
	u.Host = hostPort(pulp.RedisHost, port)
	return []derivation{{"REDIS_URL", "REDIS_HOST", NewURL(u.String())}}, nil
}
