package guide_test

import (
	"fmt"
	"strings"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// Note is a content unit. Its title names it everywhere, and a repository version has one note of a title.
type Note struct {
	models.Content
	Title string `json:"title" pulp:"natural,repo" rest:"max=80" doc:"What the note is about."`
	Text  string `json:"text" pulp:"natural" rest:"blank,default=" doc:"What it says."`
}

// Remote is where notes come from. Its URL is that of a list of notes in JSON.
type Remote struct {
	models.Remote
	Topics []string `json:"topics" doc:"Titles to sync; none are all."`
}

// Repository has no field of its own.
type Repository struct{ models.Repository }

// Distribution serves the notes of a repository.
type Distribution struct{ models.Distribution }

// The values by which rows are read and written. The part before the dot is the plugin's name.
var (
	Notes         = models.Define[Note]("note.note")
	Remotes       = models.Define[Remote]("note.note")
	Repositories  = models.Define[Repository]("note.note", models.Accepts(Notes), models.SyncsFrom(Remotes))
	Distributions = models.Define[Distribution]("note.note")
)

// Validate is the check of all notes, whether a client sends them or a stage makes them.
func (n *Note) Validate() error {
	if strings.ContainsAny(n.Title, "\r\n") {
		return rest.FieldErrors{"title": {"A title has one line."}}
	}
	return nil
}

// Plugin is what the plugin brings to an App.
func Plugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name: "note", Version: "1.0.0",
		Models: []models.AnyType{Notes, Remotes, Repositories, Distributions, Keys},
		Tasks:  []tasking.Binding{Sync.Bind(synchronize), Import.Bind(importNotes), Shout.Bind(shout)},
		Views: []rest.View{
			rest.ViewSet[Note]{
				Type: Notes, Name: "notes", Create: rest.NoArtifact[Note](nil),
				Filters: rest.Filters{"title": rest.NameFilter()},
			},
			rest.ViewSet[Remote]{Type: Remotes, Name: "note"},
			rest.ViewSet[Repository]{Type: Repositories, Name: "note", Actions: []rest.Action[Repository]{
				rest.Sync(Sync), importAction(), shoutAction(),
			}},
			rest.ViewSet[Distribution]{Type: Distributions, Name: "note"},
			rest.ViewSet[Key]{Type: Keys, Name: "key"},
		},
		API:      []rest.Route{countRoute()},
		Content:  []content.Route{latestRoute()},
		Settings: []settings.AnySection{Config},
	}
}

// SyncArgs are the arguments of [Sync].
type SyncArgs = stages.SyncArgs[Remote, Repository]

func Example_types() {
	app := open(Plugin())
	defer app.close()
	res := app.send("POST", "/pulp/api/v3/remotes/note/note/",
		`{"name": "upstream", "url": "https://notes.example.com/", "topics": ["milk"]}`)
	fmt.Println(res.Code, field(res, "url"))
	res = app.send("POST", "/pulp/api/v3/remotes/note/note/", `{"name": "upstream", "url": "gopher://x", "topic": 1}`)
	fmt.Println(res.Code, res.Body)
	// Output:
	// 201 https://notes.example.com/
	// 400 {"name":["This field must be unique."],"topic":["Unexpected field"],"url":["the scheme \"gopher\" is not http, https or file"]}
}
