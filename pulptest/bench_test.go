package pulptest_test

import (
	"testing"

	"github.com/pulpgo/pulpcore/pulptest"
)

// BenchmarkNew shows what a test pays for its App: at most 50 ms is the aim, on one slow core.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		pulptest.New(b, plugin())
	}
}
