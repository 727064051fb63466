package e2e_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/pulpgo/pulpcore/settings"
)

// TestMain runs the tests, or the program that an environment variable of a test selects.
func TestMain(m *testing.M) {
	if os.Getenv(killDir) != "" {
		fmt.Fprintln(os.Stderr, killedProgram(context.Background()))
		os.Exit(1)
	}
	if os.Getenv(chaosDir) != "" {
		if err := chaosServer(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(isolatedDir); dir != "" {
		if err := isolatedProgram(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// quiet returns settings for a folder that log nothing but errors.
func quiet(dir string, more ...settings.Option) (*settings.Set, error) {
	return settings.Load(append([]settings.Option{
		settings.Value("DEPLOY_ROOT", dir),
		settings.Value("LOGGING", map[string]any{"root": map[string]any{"level": "ERROR"}}),
	}, more...)...)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
