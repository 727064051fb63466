package settings_test

import (
	"fmt"
	"time"

	"github.com/pulpgo/pulpcore/settings"
)

// Config is the settings of a plugin "rpm".
type Config struct {
	KeepPackages int           // RPM_KEEP_PACKAGES
	MirrorTTL    time.Duration `setting:"RPM_MIRROR_TTL,unit=m"`
	Token        settings.Secret
}

var config = settings.Define("rpm", Config{KeepPackages: 5, MirrorTTL: time.Hour})

func Example() {
	set, err := settings.Load(
		settings.Environ("PULP_", []string{
			"PULP_RPM_MIRROR_TTL=90",
			"PULP_RPM_TOKEN=hunter2",
			`PULP_LOGGING={"dynaconf_merge": true, "loggers": {"rpm": {"level": "DEBUG"}}}`,
		}),
		settings.Value("PAGE_SIZE", 20),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err = set.With(settings.Plugin{Name: "rpm", Sections: []settings.AnySection{config}})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := config.Get(set)
	fmt.Printf("%+v %v\n", c, err)
	fmt.Println(set.Core().PageSize, set.Core().WorkerTTL)
	fmt.Print(set.Explain("RPM_MIRROR_TTL"))
	// Output:
	// {KeepPackages:5 MirrorTTL:1h30m0s Token:[redacted]} <nil>
	// 20 30s
	// RPM_MIRROR_TTL = 90
	//   set by defaults of plugin rpm: 1h0m0s
	//   set by environment variable PULP_RPM_MIRROR_TTL: 90
}
