package schema_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

type input struct {
	Title  string     `json:"title" rest:"required,max=5"`
	Key    string     `json:"key" rest:"verbatim"`
	Note   *string    `json:"note" rest:"blank"`
	States []string   `json:"states" rest:"choices=a|b"`
	Count  int8       `json:"count" rest:"min=1,default=3"`
	At     *time.Time `json:"at"`
	Remote uuid.UUID  `json:"remote" rest:"ref=remote"`
}

func field(t *testing.T, name string) *schema.Field {
	t.Helper()
	fields, faults := schema.StructFields(reflect.TypeFor[input]())
	if faults != nil {
		t.Fatalf("StructFields = %v", faults)
	}
	i := slices.IndexFunc(fields, func(f *schema.Field) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("there is no field %q", name)
	}
	return fields[i]
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		raw    any
		want   any
		reason string
	}{
		{"title", " abc ", "abc", ""},
		{"title", "", nil, wire.MsgBlank},
		{"title", nil, nil, wire.MsgNull},
		{"title", "abcdef", nil, "Ensure this field has no more than 5 characters."},
		{"key", " a ", " a ", ""},
		{"key", "", nil, wire.MsgBlank},
		{"note", "", "", ""},
		{"note", nil, nil, ""},
		{"states", []any{"a", "b"}, []string{"a", "b"}, ""},
		{"states", []any{"a", "c"}, nil, `"c" is not a valid choice.`},
		{"states", "a", nil, `Expected a list of items but got type "str".`},
		{"count", json.Number("7"), int64(7), ""},
		{"count", json.Number("0"), nil, "Ensure this value is greater than or equal to 1."},
		{"count", json.Number("1.5"), nil, "A valid integer is required."},
		{"at", "", nil, ""},
		{"at", "2026-03-04", time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC), ""},
		{"remote", "/an/href/", "/an/href/", ""},
	} {
		got, reasons := field(t, tt.name).Parse(tt.raw)
		if !reflect.DeepEqual(got, tt.want) || (tt.reason == "") != (reasons == nil) || reasons != nil && reasons[0] != tt.reason {
			t.Errorf("%s.Parse(%v) = %v, %q, want %v, %q", tt.name, tt.raw, got, reasons, tt.want, tt.reason)
		}
	}
}

// A copy of a struct shares what its pointers point to, so Assign must not write through them.
func TestAssignLeavesACopyAlone(t *testing.T) {
	t.Parallel()
	before := input{Note: new("old"), At: new(time.Unix(0, 0))}
	after := before
	field(t, "note").Assign(&after, "new")
	field(t, "at").Assign(&after, time.Unix(1, 0))
	if *before.Note != "old" || before.At.Unix() != 0 || *after.Note != "new" || after.At.Unix() != 1 {
		t.Errorf("before = %v %v, after = %v %v", *before.Note, before.At, *after.Note, after.At)
	}
	fields, _ := schema.StructFields(reflect.TypeFor[input]())
	var names []string
	for _, f := range schema.Changed(fields, &before, &after) {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"note", "at"}) {
		t.Errorf("changed fields = %v, want note and at", names)
	}
}

func TestPackAndUnpack(t *testing.T) {
	t.Parallel()
	from := input{Title: "t", Note: new(""), States: []string{"a"}, Count: 2, Remote: uuid.New()}
	to := input{At: new(time.Now())}
	fields, _ := schema.StructFields(reflect.TypeFor[input]())
	for _, f := range fields {
		raw, err := f.Pack(&from)
		if err == nil {
			err = f.Unpack(&to, raw)
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	if !reflect.DeepEqual(from, to) {
		t.Errorf("unpacked = %+v, want %+v", to, from)
	}
}

// The document of an answer has the members that encoding/json writes.
func TestAnswersAreDescribedAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	type row struct {
		Href    wire.Href `json:"pulp_href" doc:"Where it is."`
		Created wire.Time `json:"pulp_created"`
	}
	type part struct {
		N int `json:"n" rest:"required"`
	}
	type answer struct {
		row
		Created []*wire.Href     `json:"created"`
		Parts   []part           `json:"parts"`
		Inline  struct{ X bool } `json:"inline"`
		Any     any              `json:"any"`
		Hidden  string           `json:"-"`
	}
	c := schema.NewComponents()
	c.AddAnswer("PartResponse", reflect.TypeFor[part](), true)
	c.AddAnswer("AnswerResponse", reflect.TypeFor[answer](), true)
	doc := (&schema.Document{Base: "/", Components: c}).Render(true)
	got := doc.Components.Schemas["AnswerResponse"].Value.Properties
	raw, err := json.Marshal(answer{})
	if err != nil {
		t.Fatal(err)
	}
	var written map[string]any
	if err := json.Unmarshal(raw, &written); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(written) {
		t.Errorf("%d members are described and %d written", len(got), len(written))
	}
	for name := range written {
		if got[name] == nil {
			t.Errorf("member %q is not described", name)
		}
	}
	if p := got["pulp_href"].Value; p.Format != "uri" || p.Description != "Where it is." || !p.ReadOnly {
		t.Errorf("pulp_href = %+v", p)
	}
	if items := got["parts"].Value.Items; items.Ref != "#/components/schemas/PartResponse" {
		t.Errorf("items of parts = %+v", items)
	}
	if items := got["created"].Value.Items.Value; items.Format != "uri" || !items.Nullable {
		t.Errorf("items of created = %+v", items)
	}
}
