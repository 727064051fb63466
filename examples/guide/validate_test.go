package guide_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

func Example_serializer() {
	ctx := context.Background()
	app := open(Plugin())
	defer app.close()

	serializer, err := rest.NewSerializer(app.DB().Registry(), Notes)
	if err != nil {
		log.Fatal(err)
	}
	note, err := serializer.Decode(ctx, app.DB(), map[string]any{"title": "milk"})
	fmt.Printf("%q %q %v\n", note.Title, note.Text, err)
	_, err = serializer.Decode(ctx, app.DB(), json.RawMessage(`{"title": "a\nb"}`))
	fmt.Println(err)
	// Output:
	// "milk" "" <nil>
	// title: A title has one line.
}

// Sync makes a new repository version from what a remote has.
var Sync = tasking.Define[SyncArgs]("note.sync")

// synchronize is the task [Sync].
func synchronize(ctx context.Context, env *tasking.Env, a SyncArgs) error {
	remote, err := Remotes.Get(ctx, env.DB, a.Remote)
	if err != nil {
		return err
	}
	repository, err := Repositories.Get(ctx, env.DB, a.Repository)
	if err != nil {
		return err
	}
	version := stages.DeclarativeVersion{Repository: repository, First: &listed{env, remote}, Mirror: a.Mirror}
	_, _, err = version.Create(ctx, env)
	return err
}

// listed is the first stage: it declares a unit for each entry of the remote's list.
type listed struct {
	env    *tasking.Env
	remote *Remote
}

// Run declares the units. None of them is saved here: a later stage saves them in batches.
func (s *listed) Run(ctx context.Context, _ *stages.In, out *stages.Out) error {
	list, err := s.env.Fetch(ctx, s.remote, s.remote.URL, nil)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(list.Path)
	if err != nil {
		return err
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return pulperr.Public(pulperr.Invalid, "remote %q: the list of notes is not JSON", s.remote.Name)
	}
	serializer, err := rest.NewSerializer(s.env.DB.Registry(), Notes)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		note, err := serializer.Decode(ctx, s.env.DB, entry)
		if err != nil {
			return err
		}
		if err := out.Put(ctx, &stages.DeclarativeContent{Content: note}); err != nil {
			return err
		}
	}
	return nil
}

func Example_sync() {
	app := open(Plugin())
	defer app.close()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"title": "milk"}, {"title": "bread", "text": "two"}]`)
	}))
	defer upstream.Close()

	remote := app.send("POST", "/pulp/api/v3/remotes/note/note/", `{"name": "up", "url": "`+upstream.URL+`"}`)
	repository := app.send("POST", "/pulp/api/v3/repositories/note/note/", `{"name": "list"}`)
	res := app.send("POST", field(repository, "pulp_href")+"sync/", `{"remote": "`+field(remote, "pulp_href")+`"}`)
	fmt.Println(res.Code, field(app.send("GET", field(res, "task"), ""), "state"))
	res = app.send("GET", "/pulp/api/v3/content/note/notes/?fields=title,text&ordering=title", "")
	fmt.Println(res.Body)
	// Output:
	// 202 completed
	// {"count":2,"next":null,"previous":null,"results":[{"title":"bread","text":"two"},{"title":"milk","text":""}]}
}
