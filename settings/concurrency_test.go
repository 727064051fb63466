package settings_test

import (
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/settings"
)

func TestASetIsSafeForConcurrentUse(t *testing.T) { // proved by -race
	t.Parallel()
	sec := settings.Define("p", wide{Map: map[string]int{"a": 1}})
	base := load(t, settings.Value("ACCESS_POLICIES", m{"l": []any{1}}), settings.Append("ACCESS_POLICIES__l", 2))
	set, err := base.With(settings.Plugin{Name: "p", Sections: []settings.AnySection{sec}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				v, _ := set.Get("ACCESS_POLICIES")
				v.(m)["l"].([]any)[0] = "mine"
				_ = set.Explain("ACCESS_POLICIES").String()
				_ = set.Core()
				_ = set.Notes()
				if _, err := sec.Get(set); err != nil {
					t.Error(err)
				}
				if _, err := base.With(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := settings.Load(settings.Environ("PULP_", []string{"PULP_PAGE_SIZE=5"})); err != nil {
			b.Fatal(err)
		}
	}
}
