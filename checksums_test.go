package pulpcore_test

import (
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
)

// TestOpenRefusesOtherChecksums opens one installation with several lists of allowed checksums.
func TestOpenRefusesOtherChecksums(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx, dir := t.Context(), t.TempDir()
		open := func(opts *pulpcore.Options, allowed ...string) (*pulpcore.App, error) {
			t.Helper()
			set, err := quiet(dir, settings.Value("DATABASE_URL", url), settings.Value("ALLOWED_CONTENT_CHECKSUMS", allowed))
			if err != nil {
				t.Fatal(err)
			}
			return pulpcore.OpenWith(ctx, set, opts, file.Plugin())
		}
		with := func(app *pulpcore.App, err error, fn func(app *pulpcore.App) error) {
			t.Helper()
			if err == nil {
				err = fn(app)
			}
			if err == nil {
				err = app.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		app, err := open(nil, "sha256", "sha512")
		with(app, err, func(app *pulpcore.App) error {
			_, err := models.NewArtifact(ctx, app.DB(), app.Store(), strings.NewReader("abc"), nil)
			return err
		})
		for text, allowed := range map[string][]string{
			"1 lack sha224": {"sha256", "sha512", "sha224"}, "1 have sha512": {"sha256"},
		} {
			_, err := open(nil, allowed...)
			if pulperr.KindOf(err) != pulperr.Invalid || !strings.Contains(pulperr.Message(err), text) ||
				!strings.Contains(pulperr.Message(err), "models.FixChecksums") {
				t.Errorf("Open with %v = %v, want %q and a remedy", allowed, err, text)
			}
		}
		app, err = open(nil, "sha512", "sha256") // set back
		with(app, err, func(*pulpcore.App) error { return nil })
		app, err = open(&pulpcore.Options{IgnoreChecksums: true}, "sha256", "sha224")
		with(app, err, func(app *pulpcore.App) error {
			_, err := models.FixChecksums(ctx, app.DB(), app.Store(), nil)
			return err
		})
		app, err = open(nil, "sha256", "sha224")
		with(app, err, func(*pulpcore.App) error { return nil })
	})
}
