package models_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pulpgo/pulpcore/models"
)

// wrongHooks has methods that are hooks by their name only.
type wrongHooks struct{ models.Repository }

// wrongUnit has a FetchUnit without an error.
type wrongUnit struct {
	models.Content
	Name string `pulp:"natural"`
}

func (*wrongUnit) FetchUnit(context.Context, *models.Pull) []models.PulledFile { return nil }

func (*wrongHooks) Validate(context.Context) error                { return nil }
func (*wrongHooks) FinalizeNewVersion(v *models.NewVersion) error { return nil }

// What would be dropped or never called is a fault, and so are migrations that cannot be.
func TestCheckFindsWhatWouldBeIgnored(t *testing.T) {
	t.Parallel()
	type (
		common struct {
			Shared string `json:"shared"`
		}
		again struct {
			B string `json:"same" pulp:"index=No"`
		}
		lossy struct {
			models.Remote
			*common
			Label    string            `json:"name" bun:"label"`
			Computed string            `json:"computed" bun:"-"`
			hidden   string            `pulp:"index"` //nolint:unused // which is the fault
			Cache    map[string]string `bun:"-"`
			A        string            `json:"same"`
			C        []string          `pulp:"index"`
			again
		}
	)
	set := models.PluginModels{Plugin: "bad", Types: []models.AnyType{
		models.Define[lossy]("bad.lossy"),
		models.Define[wrongHooks]("bad.hooks"),
		models.Define[wrongUnit]("bad.unit"),
		nil,
	}, Migrations: fstest.MapFS{
		"0001_a.up.sql": {Data: []byte("{{.nope}}")}, "0001_a.down.sql": {Data: []byte("x")},
		"0001_b.up.sql": {Data: []byte("{{if .postgres}}x{{end}}")}, "0001_b.down.sql": {Data: []byte("x")},
		"0004_c.up.sql": {Data: []byte("x")}, "four.sql": {Data: []byte("x")},
	}}
	registry, faults := models.Check(set)
	if !registry.Has(set.Types[0]) {
		t.Error("the registry does not have the type with faults")
	}
	err := errors.Join(faults...)
	for _, want := range []string{
		`plugin "bad": type "bad.lossy": field common: it is embedded as a pointer`,
		`type "bad.lossy": field Label: the master has a field named "name" on the wire`,
		`type "bad.lossy": field Computed: it has the tag json:"computed" and no column, because of bun:"-"`,
		`type "bad.lossy": field hidden: it has the tag pulp:"index" and no column, because it is not exported`,
		`type "bad.lossy": field B: field A is named "same" on the wire too`,
		`type "bad.lossy": field B: pulp tag: the index name "No" is not usable`,
		`type "bad.lossy": field C: it is a []string, which no index can hold`,
		`type "bad.hooks": method Validate(context.Context) error is never called, because a models.Validator has Validate() error`,
		`type "bad.hooks": method FinalizeNewVersion(*models.NewVersion) error is never called`,
		`plugin "bad": type 4 is nil`,
		`type "bad.unit": method FetchUnit(context.Context, *models.Pull) []models.PulledFile is never called`,
		`plugin "bad": migration "0001_a.up.sql": template`,
		`plugin "bad": migration 0001_b lacks its up or its down file, or that is empty`,
		`plugin "bad": migration 0001_b is number 2 in their order; number the files from 0001 without gaps, this one 0002_b`,
		`plugin "bad": migration 0004_c is number 3 in their order`,
		`plugin "bad": migration "four.sql": the file is not named`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the faults do not have: %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}
