package wire_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

func TestPickKeepsTheOrderOfMembers(t *testing.T) {
	t.Parallel()
	type answer struct {
		B string    `json:"b"`
		A wire.Time `json:"a"`
		C []int     `json:"c"`
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 100_000_000, time.UTC)
	of := answer{"x", wire.Time(at), []int{1}}
	object := wire.Object{{Name: "b", Value: "x"}, {Name: "a", Value: at}, {Name: "c", Value: []int{1}}}
	for query, want := range map[string]string{
		"fields=c,b":                `{"b":"x","c":[1]}`,
		"exclude_fields=b":          `{"a":"2026-03-04T05:06:07.100000Z","c":[1]}`,
		"fields=a&exclude_fields=a": `{}`,
		"fields=b&fields=d":         `{"b":"x"}`,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		fields, err := wire.ReadFields(values)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{of, object} {
			picked, err := fields.Pick(v)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(picked)
			if err != nil || string(got) != want {
				t.Errorf("%s of %T = %s, %v, want %s", query, v, got, err, want)
			}
		}
	}
}

func TestReadFields(t *testing.T) {
	t.Parallel()
	if f, err := wire.ReadFields(url.Values{"fields": {" ,"}}); f != nil || err != nil {
		t.Errorf("fields without a name = %v, %v, want nil", f, err)
	}
	if _, err := wire.ReadFields(url.Values{"fields": {strings.Repeat("a,", 201)}}); err == nil {
		t.Error("201 names = nil, want an error")
	}
}
