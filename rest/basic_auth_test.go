package rest_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// logins asks a BasicAuth for the account of a request.
type logins struct {
	t    *testing.T
	db   *models.DB
	auth rest.Authenticator
	log  *bytes.Buffer
}

func newLogins(t *testing.T) *logins {
	t.Helper()
	l := &logins{t: t, db: openDB(t, dbtest.SQLite(t)), log: new(bytes.Buffer)}
	must(t, accounts.Create(t.Context(), l.db, &accounts.User{Username: admin, IsActive: true}, password))
	l.auth = rest.BasicAuth(l.db, &rest.BasicAuthOptions{Log: slog.New(slog.NewTextHandler(l.log, nil))})
	return l
}

func (l *logins) ask(from, name, password string) error {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = from + ":1"
	r.SetBasicAuth(name, password)
	u, err := l.auth.Authenticate(r)
	if err == nil && u.Username != name {
		l.t.Errorf("%s is %s", name, u.Username)
	}
	return err
}

func (l *logins) set(expr string, args ...any) {
	l.t.Helper()
	_, err := l.db.Bun().NewUpdate().TableExpr("core_user").Set(expr, args...).Where("username = ?", admin).Exec(l.t.Context())
	must(l.t, err)
}

// A password is verified once; the account is looked at every 10 seconds, so that what changes has an effect.
func TestBasicAuthRemembers(t *testing.T) {
	t.Parallel()
	db := newLogins(t).db
	c := &counter{}
	db.Conn().Bun.AddQueryHook(c) //nolint:staticcheck // the pool of the test alone
	for change, expr := range map[string]string{"another password": "password = '!'", "switched off": "is_active = FALSE"} {
		synctest.Test(t, func(t *testing.T) {
			l := &logins{t: t, db: db, auth: rest.BasicAuth(db, nil)}
			must(t, accounts.SetPassword(t.Context(), db, admin, password))
			l.set("is_active = TRUE")
			asks := func(statements int) {
				t.Helper()
				c.n = 0
				must(t, l.ask("192.0.2.1", admin, password))
				if c.n != statements {
					t.Errorf("%d statements, want %d", c.n, statements)
				}
			}
			asks(1)
			asks(0)
			for range 15 { // it lives on as long as it is used
				time.Sleep(3 * time.Minute)
				asks(1)
				asks(0)
			}
			l.set(expr)
			time.Sleep(9 * time.Second)
			asks(0)
			time.Sleep(time.Second)
			if err := l.ask("192.0.2.1", admin, password); pulperr.KindOf(err) != pulperr.Unauthorized {
				t.Errorf("%s: %v after 10 seconds, want Unauthorized", change, err)
			}
		})
	}
}

// A log-in is refused after the same time, whatever is wrong with it.
func TestRefusalsTakeTheSameTime(t *testing.T) {
	t.Parallel()
	db := newLogins(t).db
	must(t, accounts.Create(t.Context(), db, &accounts.User{Username: "off"}, password))
	must(t, accounts.Create(t.Context(), db, &accounts.User{Username: "django", IsActive: true}, ""))
	_, err := db.Bun().NewUpdate().TableExpr("core_user").Where("username = 'django'").
		Set("password = 'pbkdf2_sha256$1000$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0='").Exec(t.Context())
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		l := &logins{t: t, db: db, auth: rest.BasicAuth(db, nil)}
		for name, word := range map[string]string{
			admin: "wrong", "nobody": password, "off": password, "django": "wrong", "a\x00": password,
		} {
			began := time.Now()
			err := l.ask("192.0.2.1", name, word)
			if took := time.Since(began); pulperr.KindOf(err) != pulperr.Unauthorized || took != 500*time.Millisecond {
				t.Errorf("%q: %v after %s, want Unauthorized after 500ms", name, err, took)
			}
		}
	})
}

// Who guesses passwords waits longer and longer; the owner of the account logs in from elsewhere.
func TestFailedLogInsAreSlowedDown(t *testing.T) {
	t.Parallel()
	db := newLogins(t).db
	synctest.Test(t, func(t *testing.T) {
		l := &logins{t: t, db: db, auth: rest.BasicAuth(db, nil)}
		for i := range 6 {
			if err := l.ask("192.0.2.66", admin, fmt.Sprint(i)); pulperr.KindOf(err) != pulperr.Unauthorized {
				t.Fatalf("failure %d: %v", i+1, err)
			}
		}
		if err := l.ask("192.0.2.66", admin, password); pulperr.KindOf(err) != pulperr.TooMany {
			t.Errorf("after six failures: %v, want TooMany", err)
		}
		must(t, l.ask("192.0.2.1", admin, password))
		must(t, l.ask("192.0.2.66", admin, password)) // which is known now
	})
}

// Sixty wrong log-ins at once from one address neither hold up another address nor occupy the server.
func TestGoodLogInPassesTheBad(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	var bad sync.WaitGroup
	kinds := make(chan pulperr.Kind, 60)
	for i := range cap(kinds) {
		bad.Go(func() { kinds <- pulperr.KindOf(l.ask("192.0.2.66", fmt.Sprint("user", i%10), "wrong")) })
	}
	must(t, l.ask("192.0.2.1", admin, password))
	still := cap(kinds) - len(kinds)
	bad.Wait()
	close(kinds)
	count := map[pulperr.Kind]int{}
	for k := range kinds {
		count[k]++
	}
	if count[pulperr.Unauthorized]+count[pulperr.Unavailable]+count[pulperr.TooMany] != 60 || count[pulperr.Unauthorized] == 0 {
		t.Errorf("answers: %v", count)
	}
	t.Logf("%d of 60 had no answer when the good log-in had one; answers: %v", still, count)
}

func TestRefusedLogInsAreLogged(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	long := strings.Repeat("x", 1000)
	for _, name := range []string{admin, "forged\nlevel=INFO", long} {
		if err := l.ask("192.0.2.66", name, "my secret"); !errors.Is(err, pulperr.Unauthorized) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	text := l.log.String()
	for _, want := range []string{
		`level=WARN msg="log-in refused" user=admin address=192.0.2.66 correlation_id="" reason="Invalid username/password."`,
		`user="forged\nlevel=INFO"`, "user=" + long[:150] + "… ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the log has no %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Count(text, "\n") != 3 {
		t.Errorf("the log has a password, or other lines:\n%s", text)
	}
}

// The answers that are no refusal say when to come again.
func TestBusyLogInIsAnswered(t *testing.T) {
	t.Parallel()
	db := openDB(t, dbtest.SQLite(t))
	b := setupOn(t, db, &rest.Options{Auth: rest.BasicAuth(db, nil)})
	for range 6 {
		b.do("GET", "tasks/", nil).want(http.StatusUnauthorized)
	}
	a := b.do("GET", "tasks/", nil).want(http.StatusTooManyRequests)
	diff(t, a.body, `{"detail": "Too many failed log-ins; try again in 1 s."}`)
	if after := a.header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After = %q, want 1", after)
	}
}
