package models_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Two is a unit with a natural key of two texts.
type Two struct {
	models.Content
	A     string `json:"a" pulp:"natural"`
	B     string `json:"b" pulp:"natural"`
	Extra string `json:"extra"`
}

var twos = models.Define[Two]("two.two")

// twoSet is a plugin whose own migration makes the table with some constraints.
func twoSet(constraints string) models.PluginModels {
	up := "CREATE TABLE two_two_content (pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_content ON DELETE CASCADE " +
		"DEFERRABLE INITIALLY DEFERRED, pulp_domain_id {{.uuid}} NOT NULL, a TEXT NOT NULL, b TEXT NOT NULL, " +
		"extra TEXT NOT NULL" + constraints + ")"
	return models.PluginModels{Plugin: "two", Types: []models.AnyType{twos}, Migrations: fstest.MapFS{
		"0001_two.up.sql":   {Data: []byte(up)},
		"0001_two.down.sql": {Data: []byte("DROP TABLE two_two_content")},
	}}
}

const twoKey = ", UNIQUE (b, pulp_domain_id, a)"

func TestCheckSchemaFindsMissingUniqueKey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		for _, test := range []struct {
			name, constraints string
			ok                bool
		}{
			{"the key in another order", twoKey, true},
			{"none", "", false},
			{"a part of the key", ", UNIQUE (pulp_domain_id, a)", false},
			{"more than the key", ", UNIQUE (pulp_domain_id, a, b, extra)", false},
		} {
			t.Run(test.name, func(t *testing.T) {
				db := modelstest.Open(t, url, nil, twoSet(test.constraints))
				err := models.CheckSchema(t.Context(), db)
				if test.ok {
					noError(t, err)
				} else {
					wantKind(t, err, pulperr.Conflict, "two_two_content of content type \"two.two\" has no unique key")
					wantKind(t, err, pulperr.Conflict, "add UNIQUE (pulp_domain_id, a, b)")
				}
				_, err = models.Rollback(t.Context(), db, "two")
				noError(t, err)
			})
		}
	})
}

func TestOtherUniqueKeyIsTaken(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := modelstest.Open(t, url, nil, twoSet(twoKey+", UNIQUE (extra)"))
		noError(t, models.SaveContents(t.Context(), db, []*models.ContentWithFiles{{Content: &Two{A: "a", Extra: "x"}}}))
		err := models.SaveContents(t.Context(), db, []*models.ContentWithFiles{{Content: &Two{A: "b", Extra: "x"}}})
		wantKind(t, err, pulperr.Exists, "another unique key of table two_two_content is taken")
		wantKind(t, err, pulperr.Exists, "extra")
	})
}

func TestKeysHaveOneLimit(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := modelstest.Open(t, url, nil, twoSet(twoKey))
		random := func(n int) string {
			var b strings.Builder
			for b.Len() < n {
				b.WriteString(uuid.NewString())
			}
			return b.String()[:n]
		}
		for _, test := range []struct {
			a, b int
			ok   bool
		}{{1250, 1250, true}, {2000, 500, true}, {1251, 1250, false}, {1990, 1990, false}} {
			err := models.SaveContents(t.Context(), db, []*models.ContentWithFiles{{Content: &Two{A: random(test.a), B: random(test.b)}}})
			if test.ok {
				noError(t, err)
				continue
			}
			wantKind(t, err, pulperr.Invalid, "a, b together have no more than 2500 bytes")
		}
		err := models.SaveContents(t.Context(), db, []*models.ContentWithFiles{{Content: &Two{A: "\xff"}}})
		wantKind(t, err, pulperr.Invalid, "not valid UTF-8")
	})
}

func TestKeyTypes(t *testing.T) {
	t.Parallel()
	type (
		atTime struct {
			models.Content
			At time.Time `pulp:"natural"`
		}
		ratio struct {
			models.Content
			Ratio float64 `pulp:"natural"`
		}
		list struct {
			models.Content
			List []string `pulp:"natural"`
		}
		raw struct {
			models.Content
			Raw []byte `pulp:"natural"`
		}
		placeTime struct {
			models.Content
			Name string     `pulp:"natural"`
			At   *time.Time `pulp:"repo"`
		}
	)
	_, err := models.NewRegistry(models.PluginModels{Plugin: "bad", Types: []models.AnyType{
		models.Define[atTime]("bad.time"), models.Define[ratio]("bad.ratio"), models.Define[list]("bad.list"),
		models.Define[raw]("bad.raw"), models.Define[placeTime]("bad.place"),
	}})
	if !errors.Is(err, pulperr.Invalid) {
		t.Fatalf("NewRegistry = %v, want Invalid", err)
	}
	for _, want := range []string{
		"field At: a key field cannot be a time.Time", "field Ratio: a key field cannot be a float64",
		"field List: a key field cannot be a []string", "field Raw: a key field cannot be a []uint8",
		`type "bad.place": field At: a key field cannot be a time.Time`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say: %s\n%v", want, err)
		}
	}
}
