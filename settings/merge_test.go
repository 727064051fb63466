package settings_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/settings"
)

// load merges options and fails the test on a fault.
func load(t *testing.T, opts ...settings.Option) *settings.Set {
	t.Helper()
	set, err := settings.Load(opts...)
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	return set
}

type m = map[string]any

func TestMerge(t *testing.T) {
	t.Parallel()
	base := m{"a": m{"x": int64(1), "y": []any{"p"}}, "b": int64(2)}
	for _, row := range []struct {
		name  string
		over  []settings.Option
		path  string
		value any
	}{
		{"a map replaces", []settings.Option{settings.Value("K", m{"b": 3})}, "K", m{"b": int64(3)}},
		{
			"a marked map is added deeply",
			[]settings.Option{settings.Value("K", m{"dynaconf_merge": true, "a": m{"z": 1}})},
			"K",
			m{"a": m{"x": int64(1), "y": []any{"p"}, "z": int64(1)}, "b": int64(2)},
		},
		{
			"a map as the value of the marker is added",
			[]settings.Option{settings.Value("K", m{"dynaconf_merge": m{"c": 1}})},
			"K",
			m{"a": base["a"], "b": int64(2), "c": int64(1)},
		},
		{
			"a false marker replaces and vanishes",
			[]settings.Option{settings.Value("K", m{"dynaconf_merge": false, "c": 1})},
			"K",
			m{"c": int64(1)},
		},
		{
			"a marked part of a map that replaces is added",
			[]settings.Option{settings.Value("K", m{"a": m{"dynaconf_merge": true, "z": 1}})},
			"K",
			m{"a": m{"x": int64(1), "y": []any{"p"}, "z": int64(1)}},
		},
		{
			"a list within a merged map replaces",
			[]settings.Option{settings.Merge("K", m{"a": m{"y": []string{"q"}}})},
			"K__a__y",
			[]any{"q"},
		},
		{
			"a marked list within a merged map is added",
			[]settings.Option{settings.Merge("K", m{"a": m{"y": []string{"q", "dynaconf_merge"}}})},
			"K__a__y",
			[]any{"p", "q"},
		},
		{"elements are appended", []settings.Option{settings.Append("K__a__y", "q", "p")}, "K__a__y", []any{"p", "q", "p"}},
		{
			"unique elements are appended once",
			[]settings.Option{settings.Value("K__a__y", []string{"p", "q", "dynaconf_merge_unique"})},
			"K__a__y",
			[]any{"p", "q"},
		},
		{"a part is set", []settings.Option{settings.Value("K__a__x", "n")}, "K__a", m{"x": "n", "y": []any{"p"}}},
		{"a part of nothing is made", []settings.Option{settings.Value("N__a__b", 1)}, "N", m{"a": m{"b": int64(1)}}},
		{"a marked list over no list is that list", []settings.Option{settings.Append("K__b", 1)}, "K__b", []any{int64(1)}},
		{"a later option wins", []settings.Option{settings.Value("K", 1), settings.Value("K", 2)}, "K", int64(2)},
		{"nil clears", []settings.Option{settings.Value("K", nil)}, "K", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			set := load(t, append([]settings.Option{settings.Value("K", base)}, row.over...)...)
			got, ok := set.Get(row.path)
			if diff := cmp.Diff(row.value, got); diff != "" || !ok {
				t.Errorf("Get(%q) = %v (-want +got):\n%s", row.path, ok, diff)
			}
		})
	}
}

func TestMergingDoesNotChangeWhatWasGiven(t *testing.T) {
	t.Parallel()
	given := m{"l": []any{"a"}, "m": m{"dynaconf_merge": true}}
	set := load(t, settings.Value("K", given), settings.Append("K__l", "b"))
	got, _ := set.Get("K")
	got.(m)["l"].([]any)[0] = "changed"
	if diff := cmp.Diff(m{"l": []any{"a"}, "m": m{"dynaconf_merge": true}}, given); diff != "" {
		t.Errorf("the argument changed:\n%s", diff)
	}
	if l, _ := set.Get("K__l"); !cmp.Equal(l, []any{"a", "b"}) {
		t.Errorf("Get(K__l) = %v after the caller changed its copy", l)
	}
}

func TestLayersOverrideInTheirFixedOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "1.toml", "page_size = 11\nWORKER_TTL = 11\nAPI_APP_TTL = 11\nTASK_GRACE_INTERVAL = 11\n")
	write(t, dir, "2.yaml", "WORKER_TTL: 12\nAPI_APP_TTL: 12\n")
	plugin := settings.Plugin{
		Name: "p",
		Defaults: []settings.Assignment{
			settings.Value("PAGE_SIZE", 9), settings.Value("CONTENT_APP_TTL", 9), settings.Value("TASK_PREFER_DEFER", true),
		},
		Overlay: []settings.Assignment{settings.Value("TASK_PREFER_DEFER", false)},
	}
	// The host's option comes first on purpose: only its sort counts.
	set := load(t, settings.Value("CACHE_ENABLED", true), settings.Value("TASK_PREFER_DEFER", "yes"),
		settings.Environ("PULP_", []string{"PULP_API_APP_TTL=13", "PULP_CACHE_ENABLED=false"}),
		settings.File(dir+"/1.toml"), settings.File(dir+"/2.yaml"))
	set, err := set.With(plugin)
	if err != nil {
		t.Fatalf("With() = %v", err)
	}
	c := set.Core()
	got := []any{
		c.ContentAppTTL.Seconds(), c.PageSize, c.WorkerTTL.Seconds(), c.APIAppTTL.Seconds(), c.CacheEnabled,
		c.TaskPreferDefer,
	}
	if diff := cmp.Diff([]any{9.0, 11, 12.0, 13.0, true, false}, got); diff != "" {
		t.Errorf("plugin < file < later file < environment < host < overlay (-want +got):\n%s", diff)
	}
}
