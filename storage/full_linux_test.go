package storage_test

import (
	"testing"

	"github.com/pulpgo/pulpcore/internal/disktest"
)

// TestDiskFull does not run beside others, as disktest wants it.
func TestDiskFull(t *testing.T) {
	s := open(t, disktest.Small(t, "size=1m"), nil)
	if err := wantFull(t.Context(), s); err != nil {
		t.Error(err)
	}
	if u, err := s.Usage(t.Context()); err != nil || u.Total != 1<<20 || u.Used < 500_000 || u.Used+u.Free != u.Total {
		t.Errorf("Usage = %+v, %v", u, err)
	}
}
