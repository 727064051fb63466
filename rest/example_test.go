package rest_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// A plugin's remotes, served by nothing more than their type and a name.
func Example() {
	type Mirror struct {
		models.Remote
		Arch string `json:"arch" rest:"required,choices=amd64|arm64" doc:"Architecture to mirror."`
	}
	mirrors := models.Define[Mirror]("deb.mirror")
	db, queue, store, err := open(mirrors)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	api, err := rest.New(db, queue, store, &rest.Options{
		Auth:  everybodyIsAdmin{},
		Views: []rest.View{rest.ViewSet[Mirror]{Type: mirrors, Name: "mirror"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, body := range []string{
		`{"name": "trixie", "url": "http://deb.example/", "arch": "vax"}`,
		`{"name": "trixie", "url": "http://deb.example/", "arch": "arm64"}`,
	} {
		r := httptest.NewRequest("POST", "http://localhost/pulp/api/v3/remotes/deb/mirror/?fields=name,arch",
			strings.NewReader(body))
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 400 {"arch":["\"vax\" is not a valid choice."]}
	// 201 {"name":"trixie","arch":"arm64"}
}

// open returns an empty database in memory, and what else an API needs.
func open(types ...models.AnyType) (*models.DB, *tasking.Queue, *storage.Store, error) {
	ctx := context.Background()
	registry, err := models.NewRegistry(models.PluginModels{Plugin: "deb", Types: types})
	if err != nil {
		return nil, nil, nil, err
	}
	db, err := models.OpenDB(ctx, "sqlite:file:rest-example?mode=memory&cache=shared", &models.DBOptions{Registry: registry})
	if err != nil {
		return nil, nil, nil, err
	}
	if err := models.Migrate(ctx, db); err != nil {
		return nil, nil, nil, err
	}
	if db, err = db.InDomain(ctx, models.DefaultDomain); err != nil {
		return nil, nil, nil, err
	}
	queue, err := tasking.NewQueue(db, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	store, err := storage.Open(ctx, "mem://", nil)
	return db, queue, store, err
}
