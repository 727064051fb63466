package wire_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

type (
	shout   string
	level   int
	spoken  struct{ text string }
	upper   string
	pointed struct{ n int }
	silent  struct{}
)

func (s spoken) MarshalJSON() ([]byte, error)   { return json.Marshal("<" + s.text + ">") }
func (u upper) MarshalText() ([]byte, error)    { return []byte("UPPER " + u), nil }
func (p *pointed) MarshalJSON() ([]byte, error) { return json.Marshal(p.n) }
func (silent) MarshalJSON() ([]byte, error)     { return nil, errors.New("it says nothing") }

// TestAppendIsEncodingJSON compares what answers consist of with what encoding/json writes.
func TestAppendIsEncodingJSON(t *testing.T) {
	t.Parallel()
	text, named, up, number, yes := "a\"b", shout("c"), upper("d"), int64(-7), true
	pointer := &text
	upPointer := &up
	for _, v := range []any{
		nil, "", "plain", "ä", "a<b>&c", "quo\"te\\", "tab\t", "\x00\x7f", "\xff", "\u2028", shout("x<y"), wire.Href("/a/"),
		true, false, 0, -5, int8(3), int64(math.MaxInt64), uint(9), 1.5, 1e21, level(4), upper("x"),
		spoken{"y"},
		pointed{1},
		&pointed{2}, &text, &named, &up, &number, &yes, &pointer, &upPointer, (*string)(nil), (*upper)(nil), (*pointed)(nil),
		[]string(nil),
		[]string{},
		[]string{"a", "<"},
		[]any(nil),
		[]any{},
		[]any{1, "a", nil, []any{"b"}},
		[]byte(nil),
		[]byte{},
		[]byte("bytes"), map[string]any(nil),
		map[string]any{},
		map[string]any{"b": 1, "a": "<"},
		map[string]*string{"k": nil, "l": &text},
		json.RawMessage(`{"a": "<"}`), json.RawMessage(nil), json.Number("1.50"),
		uuid.MustParse("0198f6c2-0000-7000-8000-000000000001"),
		struct {
			A string `json:"a"`
			B *int   `json:"b,omitempty"`
		}{A: "&"},
	} {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.Append([]byte("x"), v)
		if err != nil || string(got) != "x"+string(want) {
			t.Errorf("Append(%T %v) = %s, %v, want x%s", v, v, got, err, want)
		}
	}
}

func TestAppendObject(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	whole := at.Truncate(time.Second)
	o := wire.Object{
		{Name: "z", Value: at},
		{Name: "a", Value: &whole},
		{Name: "t", Value: wire.Time(at)},
		{Name: "p", Value: wire.TimeOrNull(&at)},
		{Name: "n", Value: (*time.Time)(nil)},
		{Name: "m", Value: wire.TimeOrNull(nil)},
		{Name: "o", Value: wire.Object{}},
		{Name: "l", Value: []any{wire.Object{{Name: "\"<", Value: at}}, 2}},
	}
	const moment = `"2030-01-02T02:04:05.000006Z"`
	const want = `{"z":` + moment + `,"a":"2030-01-02T02:04:05Z","t":` + moment + `,"p":` + moment +
		`,"n":null,"m":null,"o":{},"l":[{"\"\u003c":` + moment + `},2]}`
	got, err := wire.Append(nil, o)
	if err != nil || string(got) != want {
		t.Errorf("Append = %s, %v, want %s", got, err, want)
	}
	if got, err := json.Marshal(o); err != nil || string(got) != want {
		t.Errorf("Marshal = %s, %v, want %s", got, err, want)
	}
	for _, bad := range []any{silent{}, wire.Object{{Name: "a", Value: silent{}}}, []any{1, silent{}}, math.NaN()} {
		if got, err := wire.Append(nil, bad); err == nil {
			t.Errorf("Append(%v) = %s without an error", bad, got)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", "ä<\"", "\xc3", "\u2029\x1f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal([]any{s})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wire.Append(nil, []any{s}); err != nil || string(got) != string(want) {
			t.Errorf("Append(%q) = %s, %v, want %s", s, got, err, want)
		}
	})
}
