package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/knadh/koanf/providers/confmap"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileFormats(t *testing.T) {
	t.Parallel()
	want := m{"n": int64(1), "f": 1.5, "t": true, "l": []any{"a", m{"b": int64(2)}}, "s": "x"}
	for name, text := range map[string]string{
		"s.toml": "[K]\nn=1\nf=1.5\nt=true\nl=['a', {b=2}]\ns='x'\n",
		"s.yaml": "K: {n: 1, f: 1.5, t: true, l: [a, {b: 2}], s: x}\n",
		"s.yml":  "k:\n  n: 1\n  f: 1.5\n  t: true\n  l:\n  - a\n  - b: 2\n  s: x\n",
		"s.json": `{"K": {"f": 1.5, "n": 1, "t": true, "l": ["a", {"b": 2}], "s": "x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := load(t, settings.File(write(t, t.TempDir(), name, text))).Get("K")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Get(K) (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFileFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, row := range []struct {
		name string
		opt  settings.Option
		kind pulperr.Kind
		word string
	}{
		{"a missing file", settings.File(dir + "/none.toml"), pulperr.NotFound, "none.toml"},
		{"Python", settings.File(write(t, dir, "settings.py", "A = 1")), pulperr.Unsupported, ".py"},
		{"broken TOML", settings.File(write(t, dir, "b.toml", "A = [")), pulperr.Invalid, "b.toml"},
		{"broken YAML", settings.File(write(t, dir, "b.yaml", "a: [")), pulperr.Invalid, "b.yaml"},
		{"a list as a document", settings.File(write(t, dir, "b.json", "[]")), pulperr.Invalid, "b.json"},
		{"a folder", settings.OptionalFile(mkdir(t, dir, "d.toml")), pulperr.Invalid, "d.toml"},
		{
			"a huge file", settings.File(write(t, dir, "h.toml", strings.Repeat("#\n", 3<<20))),
			pulperr.TooLarge, "h.toml",
		},
		{
			"a key in two cases", settings.File(write(t, dir, "c.toml", "PAGE_SIZE=1\npage_size=2")),
			pulperr.Invalid, "PAGE_SIZE is given twice",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := settings.Load(row.opt)
			if !errors.Is(err, row.kind) || !strings.Contains(err.Error(), row.word) {
				t.Errorf("Load() = %v, want %v with %q", err, row.kind, row.word)
			}
		})
	}
}

func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOptionalFileMayBeMissing(t *testing.T) {
	t.Parallel()
	load(t, settings.OptionalFile(t.TempDir()+"/none.toml"), nil)
}

func TestFromReadsAnyProvider(t *testing.T) {
	t.Parallel()
	set := load(t, settings.From("vault", confmap.Provider(map[string]any{"PAGE_SIZE": 7}, ""), nil))
	if got := set.Core().PageSize; got != 7 {
		t.Errorf("PageSize = %d, want 7", got)
	}
	if got := set.Explain("PAGE_SIZE").Layers(); !cmp.Equal(got, []string{"vault"}) {
		t.Errorf("Layers() = %q, want vault", got)
	}
}

func TestEnvironmentTyping(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		raw  string
		want any
	}{
		{"42", int64(42)},
		{"1.5", 1.5},
		{"True", true},
		{"null", nil},
		{"text with spaces", "text with spaces"},
		{`"42"`, "42"},
		{`"open`, `"open`},
		{"", ""},
		{`["a", 1, true, null]`, []any{"a", int64(1), true, nil}},
		{`{"a": {"b": 1}}`, m{"a": m{"b": int64(1)}}},
		{`['single', 'quotes']`, []any{"single", "quotes"}},
		{`{a = 1}`, m{"a": int64(1)}},
		{"@str 42", "42"},
		{"@str [x", "[x"},
		{"@int 42", int64(42)},
		{"@none", nil},
		{`@json {"a": 1}`, m{"a": int64(1)}},
		{"@other x", "@other x"},
		{"12345678901234567890123", 12345678901234567890123.0},
	} {
		t.Run(row.raw, func(t *testing.T) {
			t.Parallel()
			got, ok := load(t, settings.Environ("P_", []string{"P_K=" + row.raw, "OTHER_K=no"})).Get("K")
			if diff := cmp.Diff(row.want, got); diff != "" || !ok {
				t.Errorf("Get(K) = %v (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestEnvironmentNesting(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "s.yaml", "K: {default: {HOST: h, PORT: p}, other: 1}\nL: [a]\n")
	for _, row := range []struct {
		name string
		env  []string
		key  string
		want any
	}{
		{"a part is set", []string{"P_K__default__HOST=n"}, "K__default", m{"HOST": "n", "PORT": "p"}},
		{"case is forgiven", []string{"P_K__DEFAULT__host=n"}, "K__default", m{"HOST": "n", "PORT": "p"}},
		{"a whole replaces", []string{`P_K={"a": 1}`}, "K", m{"a": int64(1)}},
		{"a whole comes before its part", []string{"P_K__a=2", `P_K={"b": 1}`}, "K", m{"a": int64(2), "b": int64(1)}},
		{"a marked whole merges", []string{`P_K={"dynaconf_merge": true, "other": 2}`}, "K__default__HOST", "h"},
		{"@merge with JSON", []string{`P_K=@merge {"other": 2}`}, "K__default__HOST", "h"},
		{"@merge with words", []string{"P_L=@merge b, c"}, "L", []any{"a", "b", "c"}},
		{"lowercase names count", []string{"P_l=@merge b"}, "L", []any{"a", "b"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, _ := load(t, settings.File(file), settings.Environ("P_", row.env)).Get(row.key)
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("Get(%s) (-want +got):\n%s", row.key, diff)
			}
		})
	}
}

func TestEnvironmentFaultsHideValues(t *testing.T) {
	t.Parallel()
	env := []string{"P_REDIS_PASSWORD={hunter2", "P_A=@json {hunter2", "P_B=@json 1 2"}
	_, err := settings.Load(settings.Environ("P_", env))
	if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Count(err.Error(), "P_") != 3 {
		t.Errorf("Load() = %v, want three faults without the values", err)
	}
}

func TestEnvReadsTheProcess(t *testing.T) {
	t.Setenv("SETTINGSTEST_PAGE_SIZE", "17")
	if got := load(t, settings.Env("SETTINGSTEST_")).Core().PageSize; got != 17 {
		t.Errorf("PageSize = %d, want 17", got)
	}
}

func TestAnUnfitValueIsAFault(t *testing.T) {
	t.Parallel()
	for _, v := range []any{make(chan int), func() {}, []any{make(chan int)}, m{"a": func() {}}, uint64(1 << 63)} {
		if _, err := settings.Load(settings.Value("K", v)); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("Load(Value(K, %T)) = %v, want Invalid", v, err)
		}
	}
}

// TestFaultsInOneOrder loads many faults of each source again and again: an operator who mends the first one finds the
// others where they were.
func TestFaultsInOneOrder(t *testing.T) {
	t.Parallel()
	var environ []string
	for _, key := range []string{"A", "B", "C", "D", "E", "F", "G", "H"} {
		environ = append(environ, "PULP_"+key+"=@json {")
	}
	env := settings.Environ("PULP_", environ)
	paths := []settings.Option{
		settings.Value("ALLOWED_IMPORT_PATHS", []string{"a"}), settings.Value("ALLOWED_EXPORT_PATHS", []string{"a"}),
	}
	for name, opts := range map[string][]settings.Option{"environment": {env}, "paths": paths} {
		_, err := settings.Load(opts...)
		if err == nil {
			t.Fatalf("%s: no fault", name)
		}
		for range 20 {
			if _, again := settings.Load(opts...); again == nil || again.Error() != err.Error() {
				t.Fatalf("%s: faults in another order:\n%v\n\n%v", name, err, again)
			}
		}
	}
}
