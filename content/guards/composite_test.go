package guards_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/guards"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestRBAC(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		g := &guards.RBAC{}
		s.protect(g)
		s.want("the user", s.get("/pulp/content/x/f", "User", "of "+g.Name), 200, "")
		s.want("another user", s.get("/pulp/content/x/f", "User", "other"), 401, "401: Who are you?")
		s.want("no user", s.get("/pulp/content/x/f"), 401, "401: Who are you?")
	})
}

func TestComposite(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		header := func(name string) *guards.Header { return &guards.Header{HeaderName: name, HeaderValue: "v"} }
		a, b, rbac := header("A"), header("B"), &guards.RBAC{}
		keys := []uuid.UUID{s.create(a), s.create(b)}
		c := &guards.Composite{}
		s.protect(c)
		set := func(c *guards.Composite, ids ...uuid.UUID) {
			c.Guards = ids
			s.must(guards.Composites.Update(t.Context(), s.db, c, "guards"))
		}
		get := func(header ...string) func(name string, status int, body string) {
			return func(name string, status int, body string) {
				t.Helper()
				s.want(name, s.get("/pulp/content/x/f", header...), status, body)
			}
		}
		get()("no guards", 200, "")
		set(c, keys...)
		get()("none permits", 403, "403: Access denied. Access denied.")
		get("A", encoded("v"))("the first permits", 200, "")
		get("B", encoded("v"))("the second permits", 200, "")
		get("A", "v", "B", "v")("none permits wrong values", 403, "")
		s.create(rbac)
		set(c, append(keys, rbac.ID)...)
		get()("one wants a log-in", 401, "401: Access denied. Access denied. Who are you?")
		get("User", "of "+rbac.Name)("the log-in permits", 200, "")

		inner := &guards.Composite{Guards: keys}
		s.create(inner)
		set(c, inner.ID)
		get("B", encoded("v"))("a guard of a guard permits", 200, "")
		get()("no guard of a guard permits", 403, "")
		// The API refuses a cycle. Another program may have made it.
		set(inner, c.ID, keys[0])
		get()("a cycle", 500, "")
		get("A", encoded("v"))("beside a cycle", 200, "")
		set(c, keys[0])
		s.must(guards.Headers.Delete(t.Context(), s.db, models.RefOf(a)))
		get("A", encoded("v"))("the only guard was deleted", 500, "")

		domain := models.Domain{Name: "other", Labels: models.Labels{}}
		domain.ID, domain.Created, domain.Updated = models.NewID(), models.Now(), models.Now()
		_, err := s.db.Bun().NewInsert().Model(&domain).Exec(t.Context())
		s.must(err)
		elsewhere, err := s.db.InDomain(t.Context(), "other")
		s.must(err)
		foreign := header("B")
		foreign.Name = "foreign"
		s.must(guards.Headers.Create(t.Context(), elsewhere, foreign))
		set(c, foreign.ID)
		get("B", encoded("v"))("a guard of another domain", 500, "")

		c.Guards = []uuid.UUID{c.ID}
		if err := models.Update(t.Context(), s.db, c, "guards"); pulperr.KindOf(err) != pulperr.Invalid {
			t.Errorf("Update with itself = %v, want kind Invalid", err)
		}
		c.Guards = make([]uuid.UUID, guards.MaxCombined+1)
		if err := c.Validate(); pulperr.KindOf(err) != pulperr.Invalid {
			t.Errorf("Validate with %d guards = %v, want kind Invalid", len(c.Guards), err)
		}
	})
}
