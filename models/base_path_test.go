package models_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

func newDistribution(name, path string) *Distribution {
	d := &Distribution{}
	d.Name, d.BasePath = name, path
	return d
}

func TestBasePathsDoNotOverlap(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		first := newDistribution("first", "a/b")
		if err := distributions.Create(ctx, db, first); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"a", "a/b/c", "a/b/c/d"} {
			wantKind(t, distributions.Create(ctx, db, newDistribution("x", path)), pulperr.Invalid,
				"base_path: Overlaps with existing distribution 'first'")
		}
		wantKind(t, distributions.Create(ctx, db, newDistribution("x", "a/b")), pulperr.Exists, "")
		wantKind(t, distributions.Create(ctx, db, newDistribution("x", strings.Repeat("x/", 128)+"x")), pulperr.Invalid,
			"base_path: has 129 segments; at most 128 are served")
		for i, path := range []string{"a/bc", "a/b%", "A/b", "a_b", "ab"} {
			if err := distributions.Create(ctx, db, newDistribution(fmt.Sprint("apart", i), path)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		// A distribution may move below or above its own old path, and not into another one.
		first.BasePath = "a/b/c"
		if err := distributions.Update(ctx, db, first, "base_path"); err != nil {
			t.Error(err)
		}
		first.BasePath = "A"
		wantKind(t, distributions.Update(ctx, db, first, "base_path"), pulperr.Invalid, "'apart2'")
		first.Hidden = true
		if err := distributions.Update(ctx, db, first, "hidden"); err != nil {
			t.Errorf("update of another column: %v", err)
		}
	})
}

// Of creations at the same moment, each pair of which overlaps, exactly one succeeds.
func TestOverlappingBasePathsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		for round := range 5 {
			errs := make([]error, 6)
			var wg sync.WaitGroup
			for i := range errs {
				path := fmt.Sprintf("r%d", round) + strings.Repeat("/x", i)
				wg.Go(func() {
					errs[i] = distributions.Create(t.Context(), db, newDistribution(fmt.Sprint(round, "-", i), path))
				})
			}
			wg.Wait()
			made := 0
			for _, err := range errs {
				if err == nil {
					made++
				} else if !errors.Is(err, pulperr.Invalid) {
					t.Errorf("error = %v, want Invalid", err)
				}
			}
			if made != 1 {
				t.Errorf("round %d: %d distributions were made, want 1", round, made)
			}
		}
	})
}
