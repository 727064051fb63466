package deprecation_test

import (
	"log/slog"
	"os"

	"github.com/pulpgo/pulpcore/deprecation"
)

// Foo was renamed.
//
// Deprecated: removed in 3.9; use NewFoo.
func Foo() { deprecation.Warn("Foo", "3.9", "NewFoo") }

func Example() {
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.MessageKey || a.Key == "logger" {
				return a
			}
			return slog.Attr{}
		},
	})))
	for range 3 {
		Foo()
	}
	// Output:
	// msg="Foo is deprecated and will be removed in 3.9; use NewFoo" logger=pulpcore.deprecation
}
