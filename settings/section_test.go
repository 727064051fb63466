package settings_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
)

type inner struct {
	N    int
	Wait time.Duration `setting:"wait,unit=ms"`
	_    struct{}      `setting:",ignore=old older"`
}

type wide struct {
	Text     string
	On       bool
	Int      int8
	Uint     uint16
	Float    float64
	Bytes    int64 `setting:"P_MB,unit=MiB"`
	Wait     time.Duration
	List     []string
	Times    []time.Duration `setting:"P_TIMES,unit=h"`
	Map      map[string]int
	Struct   inner
	Many     map[string]inner
	Pointer  *int
	Any      any
	Level    slog.Level
	Token    settings.Secret
	Upstream settings.URL
	hidden   int
	Skipped  int `setting:"-"`
}

func with[T any](t *testing.T, defaults T, opts ...settings.Option) (T, error) {
	t.Helper()
	sec := settings.Define("p", defaults)
	set, err := load(t, opts...).With(settings.Plugin{Name: "p", Sections: []settings.AnySection{sec}})
	if err != nil {
		var zero T
		return zero, err
	}
	return sec.Get(set)
}

func TestSectionDecodesEveryType(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "s.yaml", `
P_TEXT: 123
P_ON: yes
P_INT: -128
P_UINT: 65535
P_FLOAT: 2
P_MB: 3
P_WAIT: 1m30s
P_LIST: [a, 1]
P_TIMES: [1, 0.5]
P_MAP: {a: 1}
P_STRUCT: {wait: 250, old: [1]}
P_MANY: {x: {N: 1}, y: {}}
P_POINTER: 5
P_ANY: {a: [1, b]}
P_LEVEL: WARN
P_TOKEN: 12345
P_UPSTREAM: https://u:p@h/
`)
	defaults := wide{Struct: inner{N: 7}, hidden: 1, Skipped: 2, Map: map[string]int{"gone": 1}}
	got, err := with(t, defaults, settings.File(file))
	if err != nil {
		t.Fatal(err)
	}
	want := wide{
		Text: "123", On: true, Int: -128, Uint: 65535, Float: 2, Bytes: 3 << 20, Wait: 90 * time.Second,
		List: []string{"a", "1"}, Times: []time.Duration{time.Hour, 30 * time.Minute}, Map: map[string]int{"a": 1},
		Struct: inner{N: 7, Wait: 250 * time.Millisecond}, Many: map[string]inner{"x": {N: 1}, "y": {}},
		Pointer: new(5), Any: m{"a": []any{int64(1), "b"}}, Level: slog.LevelWarn,
		Token: settings.NewSecret("12345"), Upstream: settings.NewURL("https://u:p@h/"), hidden: 1, Skipped: 2,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wide{}), cmp.AllowUnexported(inner{})); diff != "" {
		t.Errorf("Get() (-want +got):\n%s", diff)
	}
}

func TestSectionDecodesTheEnvironmentByFieldType(t *testing.T) {
	t.Parallel()
	got, err := with(t, wide{}, settings.Environ("", []string{
		"P_TEXT=0123", "P_ON=off", "P_INT=7", "P_FLOAT=1e3", "P_WAIT=2", "P_TOKEN=1e5", "P_ANY=1", "P_LIST=[\"x\"]",
		"P_STRUCT__wait=9", "P_MAP__a=3", "P_LEVEL=DEBUG",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := wide{
		Text: "0123", Int: 7, Float: 1000, Wait: 2 * time.Second, Token: settings.NewSecret("1e5"), Any: int64(1),
		List: []string{"x"}, Struct: inner{Wait: 9 * time.Millisecond}, Map: map[string]int{"a": 3}, Level: slog.LevelDebug,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wide{}), cmp.AllowUnexported(inner{})); diff != "" {
		t.Errorf("Get() (-want +got):\n%s", diff)
	}
}

func TestSectionDefaultsSurviveTheRoundThroughLayers(t *testing.T) {
	t.Parallel()
	want := wide{
		Text: "t", On: true, Int: -1, Uint: 1, Float: 0.5, Bytes: 5 << 20, Wait: 1500 * time.Millisecond,
		List: []string{"a"}, Times: []time.Duration{time.Minute}, Map: map[string]int{"a": 1},
		Struct: inner{N: 1, Wait: time.Second}, Many: map[string]inner{"x": {N: 1, Wait: time.Second}}, Pointer: new(1),
		Any: "x", Level: slog.LevelWarn, Token: settings.NewSecret("s"), Upstream: settings.NewURL("http://h"),
	}
	got, err := with(t, want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wide{}), cmp.AllowUnexported(inner{})); diff != "" {
		t.Errorf("Get() (-want +got):\n%s", diff)
	}
}

func TestEveryFaultIsReportedAtOnceAndNamesItsSource(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "s.yaml", `
P_TEXT: [1]
P_ON: perhaps
P_INT: 128
P_UINT: -1
P_FLOAT: x
P_MB: 99999999999999999
P_LIST: a
P_TIMES: [1, x]
P_MAP: {a: b}
P_STRUCT: {WAIT: 1}
P_MANY: [1]
P_POINTER: 1.5
P_LEVEL: LOUD
P_UPSTREAM: {a: 1}
`)
	env := settings.Environ("PULP_", []string{"PULP_P_WAIT=soon", "PULP_P_TOKEN=[1]"})
	_, err := with(t, wide{}, settings.File(file), env)
	if !errors.Is(err, pulperr.Invalid) {
		t.Fatalf("With() = %v, want Invalid", err)
	}
	for _, want := range []string{
		"P_TEXT is not a text (file " + file + ")",
		"P_ON is not true or false",
		"P_INT is not a whole number, or is too large",
		"P_UINT is not a whole number of 0 or more, or is too large",
		"P_FLOAT is not a number",
		"P_MB is not a whole number, or is too large",
		"P_LIST is not a list",
		"P_TIMES__1 is neither a number (of hours) nor a duration",
		"P_MAP__a is not a whole number",
		`P_STRUCT__WAIT is not a known setting; did you mean "wait"?`,
		"P_MANY is not a map",
		"P_POINTER is not a whole number",
		"P_LEVEL is not a level",
		"P_UPSTREAM is not a text",
		"P_WAIT is neither a number (of seconds) nor a duration such as \"90s\" (environment variable PULP_P_WAIT)",
		"P_TOKEN is not a text (environment variable PULP_P_TOKEN)",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q", want)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != 15 {
		t.Errorf("%d faults, want 16:\n%v", n+1, err)
	}
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "s.toml", "WORKER_TLT=1\nNONSENSE=1\nUVLOOP_ENABLED=true\n")
	set := load(t, settings.File(file), settings.Value("P_UNKNOWM", 1), settings.Environ("PULP_", []string{
		"PULP_PAGESIZE=1", "PULP_NONSENSE_TOO=1", "PULP_API_SERVICE_HOST=10.0.0.1", "PULP_REDIS_PORT=tcp://10.0.0.1:1",
		"PULP_API_PORT_24817_TCP=tcp://10.0.0.1:24817",
	}))
	sec := settings.Define("p", struct{ Unknown int }{})
	_, err := set.With(settings.Plugin{Name: "p", Sections: []settings.AnySection{sec}})
	want := []string{
		"NONSENSE is not a known setting (file " + file + ")",
		`PAGESIZE is not a known setting; did you mean "PAGE_SIZE"? (environment variable PULP_PAGESIZE)`,
		`P_UNKNOWM is not a known setting; did you mean "P_UNKNOWN"? (host option)`,
		`WORKER_TLT is not a known setting; did you mean "WORKER_TTL"? (file ` + file + ")",
	}
	if err == nil || err.Error() != "settings: "+strings.Join(want, "\n") {
		t.Errorf("With() = %v, want\n%s", err, strings.Join(want, "\n"))
	}
}

func TestNotesTellWhatHasNoEffect(t *testing.T) {
	t.Parallel()
	set := load(t, settings.Value("UVLOOP_ENABLED", true), settings.Environ("PULP_", []string{"PULP_QQQQ=1"}))
	set, err := set.With()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"QQQQ has no effect: not a known setting (environment variable PULP_QQQQ)",
		"UVLOOP_ENABLED has no effect: there is no Python event loop (host option)",
	}
	if diff := cmp.Diff(want, set.Notes()); diff != "" {
		t.Errorf("Notes() (-want +got):\n%s", diff)
	}
}

type checked struct{ N int }

func (c checked) Validate() error {
	if c.N > 10 {
		return pulperr.Field("P_N", "%d is more than 10", c.N)
	}
	return nil
}

func TestValidators(t *testing.T) {
	t.Parallel()
	_, err := with(t, checked{N: 11})
	if !errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), "P_N: 11 is") {
		t.Errorf("With() = %v, want the section's Validate", err)
	}
	if _, err := with(t, checked{N: 11}, settings.Value("P_N", 10)); err != nil {
		t.Errorf("With() = %v, want the merged value validated", err)
	}
	seen := 0
	p := settings.Plugin{Name: "p", Validate: func(set *settings.Set) error {
		seen = set.Core().PageSize
		return pulperr.Public(pulperr.Invalid, "no")
	}}
	if _, err := load(t, settings.Value("PAGE_SIZE", 3)).With(p); err == nil || seen != 3 {
		t.Errorf("With() = %v after Validate saw %d, want its error and 3", err, seen)
	}
}

func TestSectionsClash(t *testing.T) {
	t.Parallel()
	a := settings.Define("a", struct {
		X int `setting:"SHARED"`
		Y int `setting:"PAGE_SIZE"`
	}{})
	b := settings.Define("b", struct {
		X int `setting:"SHARED"`
	}{})
	_, err := load(t).With(settings.Plugin{Name: "a", Sections: []settings.AnySection{a}},
		settings.Plugin{Name: "b", Sections: []settings.AnySection{b}})
	for _, want := range []string{
		`plugin "a": PAGE_SIZE is a setting of "pulpcore" already`, `plugin "b": SHARED is a setting of "a" already`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("With() = %v, want %q", err, want)
		}
	}
}

func TestUnfitSectionsAreFaults(t *testing.T) {
	t.Parallel()
	for name, sec := range map[string]settings.AnySection{
		"no struct": settings.Define("p", 1),
		"a channel": settings.Define("p", struct{ C chan int }{C: make(chan int)}),
		"a private field with a tag": settings.Define("p", struct {
			a int `setting:"A"`
		}{}),
		"a key twice": settings.Define("p", struct {
			A int `setting:"K"`
			B int `setting:"K"`
		}{}),
		"a lowercase key": settings.Define("p", struct {
			A int `setting:"k"`
		}{}),
		"an unknown unit": settings.Define("p", struct {
			A time.Duration `setting:"K,unit=weeks"`
		}{}),
		"a nested struct with a bad tag": settings.Define("p", struct {
			S struct {
				A int `setting:"K,required"`
			}
		}{}),
		"an unknown option": settings.Define("p", struct {
			A int `setting:"K,required"`
		}{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t).With(settings.Plugin{Name: "p", Sections: []settings.AnySection{sec}})
			if !errors.Is(err, pulperr.Invalid) {
				t.Errorf("With() = %v, want Invalid", err)
			}
		})
	}
}

func TestStructsWithinAreChecked(t *testing.T) {
	t.Parallel()
	type bad struct {
		Map map[string]struct {
			A int `setting:"K,required"`
		}
		Struct inner
		Pure   interface{ Method() }
		Func   map[string]func()
	}
	for key, value := range map[string]any{"P_MAP": m{"a": m{}}, "P_STRUCT": 1, "P_PURE": 1, "P_FUNC": m{"a": 1}} {
		if _, err := with(t, bad{}, settings.Value(key, value)); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("With(%s = %v) = %v, want Invalid", key, value, err)
		}
	}
}

func TestGetOfASectionThatWasNotGiven(t *testing.T) {
	t.Parallel()
	if _, err := settings.Define("p", wide{}).Get(load(t)); !errors.Is(err, pulperr.NotFound) {
		t.Errorf("Get() = %v, want NotFound", err)
	}
}

func TestWithAddsToEarlierPlugins(t *testing.T) {
	t.Parallel()
	a := settings.Define("a", struct{ X int }{X: 1})
	b := settings.Define("b", struct{ X int }{X: 2})
	one, err := load(t).With(settings.Plugin{Name: "a", Sections: []settings.AnySection{a}})
	if err != nil {
		t.Fatal(err)
	}
	two, err := one.With(settings.Plugin{Name: "b", Sections: []settings.AnySection{b}})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := a.Get(two); v.X != 1 || err != nil {
		t.Errorf("a.Get() = %v, %v", v, err)
	}
	if _, err := b.Get(one); err == nil {
		t.Error("b.Get() of the earlier set = nil, want it unchanged")
	}
}

func TestBadAssignmentsOfPluginsAreFaults(t *testing.T) {
	t.Parallel()
	bad := settings.Value("PAGE_SIZE", make(chan int))
	_, err := load(t).With(settings.Plugin{
		Name: "p", Defaults: []settings.Assignment{bad}, Overlay: []settings.Assignment{bad, settings.Value("NOPE", 1)},
	})
	if err == nil || strings.Count(err.Error(), "PAGE_SIZE") != 2 || !strings.Contains(err.Error(), "NOPE") {
		t.Errorf("With() = %v, want three faults", err)
	}
}
