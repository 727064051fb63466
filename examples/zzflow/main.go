package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/coverage"
	"time"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

type all struct{}

func (all) Authenticate(*http.Request) (*models.User, error) {
	return &models.User{ID: 1, Username: "a", IsActive: true, IsSuperuser: true}, nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	p := file.Plugin()
	dir, err := os.MkdirTemp("", "flow")
	must(err)
	db, err := open(ctx, dir, p.Models)
	must(err)
	store, err := storage.Open(ctx, "mem://", nil)
	must(err)
	q, err := tasking.NewQueue(db, nil)
	must(err)
	w, err := tasking.NewWorker(q, &tasking.WorkerOptions{Bindings: append(rest.Tasks(), p.Tasks...), Store: store, WorkDir: dir})
	must(err)
	hosts, err := webserver.AllowHosts("*")
	must(err)
	api, err := rest.New(db, q, store, &rest.Options{Views: p.Views, Auth: all{}, Hosts: hosts, Log: slog.New(slog.DiscardHandler)})
	must(err)
	_ = w
	do := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, bytes.NewReader([]byte(body)))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		api.ServeHTTP(rec, r)
		return rec
	}
	rec := do("POST", "/pulp/api/v3/repositories/file/file/", `{"name":"r"}`)
	repo := rec.Header().Get("Location")
	fmt.Println(rec.Code, repo)
	do("GET", repo, "")
	for _, n := range []string{"GET", "PATCH"} {
		d := os.Getenv("FLOW") + n
		must(os.MkdirAll(d, 0o755))
		must(coverage.WriteMetaDir(d))
		time.Sleep(time.Second)
		must(coverage.ClearCounters())
		rec := do(n, repo, `{"description":"x"}`)
		must(coverage.WriteCountersDir(d))
		fmt.Println(n, rec.Code)
	}
}

func open(ctx context.Context, dir string, types []models.AnyType) (*models.DB, error) {
	reg, err := models.NewRegistry(models.Set{Plugin: "file", Types: types})
	must(err)
	keys, err := models.NewKeyring(make([]byte, 32))
	must(err)
	db, err := models.OpenDB(ctx, "sqlite://"+dir+"/x.db", &models.DBOptions{Registry: reg, Keys: keys})
	must(err)
	must(db.Migrate(ctx))
	return db.InDomain(ctx, models.DefaultDomain)
}
