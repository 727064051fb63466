package models_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestDownloadClient(t *testing.T) {
	t.Parallel()
	pool := download.NewPool(0)
	t.Cleanup(func() { _ = pool.Close() })
	client := func(r models.Remote) (*download.Client, error) {
		return r.DownloadClient(pool, hashlib.Default(), nil, slog.New(slog.DiscardHandler))
	}
	row := models.Remote{Name: "upstream"}
	row.ID, row.Updated = models.NewID(), models.Now()
	first, err := client(row)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := client(row); err != nil || again != first {
		t.Errorf("the same row: %p, %v, want %p", again, err, first)
	}
	local := row
	local.Updated = row.Updated.In(time.FixedZone("", 3600))
	if again, err := client(local); err != nil || again != first {
		t.Errorf("the same row in another time zone: %p, %v, want %p", again, err, first)
	}
	changed := row
	changed.Updated = row.Updated.Add(time.Microsecond)
	if other, err := client(changed); err != nil || other == first {
		t.Errorf("a changed row: %p, %v, want another client", other, err)
	}
	wrong := models.Remote{Name: "wrong", CACert: new("no certificate")}
	wrong.ID = models.NewID()
	if _, err := client(wrong); !errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), `"wrong"`) {
		t.Errorf("a wrong row: %v, want Invalid with its name", err)
	}
}
