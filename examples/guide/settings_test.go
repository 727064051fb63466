package guide_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/deprecation"
	"github.com/pulpgo/pulpcore/settings"
)

// Settings are those of the plugin: NOTE_GREETING, and NOTE_MAX_LENGTH in characters.
type Settings struct {
	Greeting  string
	MaxLength int
}

// Validate is called at Open.
func (s Settings) Validate() error {
	if s.MaxLength < 1 {
		return fmt.Errorf("NOTE_MAX_LENGTH=%d is not positive; set it to 80, for example", s.MaxLength)
	}
	return nil
}

// Config has the defaults. [Config.In] returns the settings of an App.
var Config = settings.Define("note", Settings{Greeting: "Remember:", MaxLength: 80})

func Example_settings() {
	one, two := open(Plugin()), open(Plugin(), "NOTE_GREETING", "Don't forget:")
	defer one.close()
	defer two.close()
	// A task has env.DB, a request r.DB, a guard or handler r.App, all of which will do for In.
	fmt.Println(Config.In(one.DB()).Greeting, Config.In(two.DB()).Greeting, Config.In(two).MaxLength)
	// Output: Remember: Don't forget: 80
}

func Example_overlay() {
	plugin := Plugin()
	// Defaults give way to what the installation sets; an overlay does not.
	plugin.Defaults = []settings.Assignment{settings.Value("PAGE_SIZE", 50)}
	plugin.Overlay = []settings.Assignment{
		settings.Merge("LOGGING", map[string]any{"loggers": map[string]any{"note": map[string]any{"level": "DEBUG"}}}),
	}
	app := open(plugin, "LOGGING", map[string]any{
		"loggers": map[string]any{deprecation.Logger: map[string]any{"level": "ERROR"}},
	})
	defer app.close()
	core := app.Settings().Core()
	fmt.Println(core.PageSize)
	// Both levels hold, because the overlay merges.
	fmt.Println(slog.Level(*core.Logging.Loggers["note"].Level), slog.Level(*core.Logging.Loggers[deprecation.Logger].Level))
	// Output:
	// 50
	// DEBUG ERROR
}

func Example_init() {
	plugin := Plugin()
	plugin.Init = func(ctx context.Context, app *pulpcore.App) (end func() error, err error) {
		n, err := Notes.Count(ctx, app.DB())
		fmt.Println("the App is complete, with", n, "notes")
		return func() error {
			fmt.Println("the App is about to close")
			return nil
		}, err
	}
	app := open(plugin)
	defer app.close()
	mux := http.NewServeMux()
	app.Register(mux) // the host's mux; App.Handler, App.API and App.Content are handlers of their own
	// Output:
	// the App is complete, with 0 notes
	// the App is about to close
}
