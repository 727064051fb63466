package guide_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
)

// ImportArgs are the arguments of [Import], which are stored as JSON. A task gets references, not rows.
type ImportArgs struct {
	Repository models.Ref[Repository]
	File       uuid.UUID // of a temporary file with one title in each line
}

// Resources names what the task reserves: it makes a new version of the repository.
func (a ImportArgs) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.OnRef(a.Repository)}
}

// Import adds a note for each line of a file.
var Import = tasking.Define[ImportArgs]("note.import")

// importNotes is the task [Import].
func importNotes(ctx context.Context, env *tasking.Env, a ImportArgs) (err error) {
	file, err := models.GetTemporaryFile(ctx, env.DB, a.File)
	if err != nil {
		return err
	}
	// The file is of no use after the task, however that ends.
	defer func() { err = errors.Join(err, file.Delete(context.WithoutCancel(ctx), env.DB, env.Store)) }()
	bytes, err := file.Open(ctx, env.Store)
	if err != nil {
		return err
	}
	defer bytes.Close()
	return env.Progress(ctx, "Importing Notes", "note.importing", func(p *tasking.Progress) error {
		var units []*models.ContentWithFiles
		lines := bufio.NewScanner(bytes)
		for lines.Scan() {
			units = append(units, &models.ContentWithFiles{Content: &Note{Title: lines.Text()}})
		}
		if err := lines.Err(); err != nil { // a file that was read in part is not a shorter file
			return err
		}
		if err := models.SaveContents(ctx, env.DB, units); err != nil {
			return err
		}
		p.Add(int64(len(units)))
		return addTo(ctx, env, a.Repository, units)
	})
}

// addTo makes a new version of a repository with further units.
func addTo(
	ctx context.Context, env *tasking.Env, ref models.Ref[Repository], units []*models.ContentWithFiles,
) error {
	repository, err := Repositories.Get(ctx, env.DB, ref)
	if err != nil {
		return err
	}
	keys := make([]uuid.UUID, len(units))
	for i, u := range units {
		keys[i] = u.Content.PulpID()
	}
	_, _, err = models.CreateVersion(ctx, env.DB, repository, nil, func(v *models.NewVersion) error {
		_, err := v.Add(ctx, keys)
		return err
	})
	return err
}

func Example_workDir() {
	inspect := tasking.Define[string]("note.inspect")
	plugin := Plugin()
	plugin.Tasks = append(plugin.Tasks, inspect.Bind(func(_ context.Context, env *tasking.Env, title string) error {
		dir, err := env.WorkDir() // an *os.Root: no name leads out of it
		if err != nil {
			return err
		}
		if err := dir.WriteFile("draft", []byte(title), 0o600); err != nil {
			return err
		}
		scratch, err := env.MkdirTemp("parts-*") // for what is removed before the task ends
		if err != nil {
			return err
		}
		defer scratch.Close()
		draft, err := dir.ReadFile("draft")
		fmt.Println(string(draft), err)
		_, err = dir.Open("../../settings.toml")
		fmt.Println(err)
		return nil
	}))
	app := open(plugin)
	defer app.close()
	if _, err := inspect.Dispatch(context.Background(), app.Queue(), "milk", nil); err != nil {
		log.Fatal(err)
	}
	app.run()
	// Output:
	// milk <nil>
	// openat ../../settings.toml: path escapes from parent
}

func Example_temporaryFile() {
	ctx := context.Background()
	app := open(Plugin())
	defer app.close()

	// Example 1: save a temporary file.
	file, err := models.NewTemporaryFile(ctx, app.DB(), app.Store(), strings.NewReader("milk\n"), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(file.Size, file.SHA256[:8])

	// Example 2: verify the digest while it is saved.
	wrong := &hashlib.Expect{Digests: hashlib.SHA256Hex(strings.Repeat("0", 64))}
	_, err = models.NewTemporaryFile(ctx, app.DB(), app.Store(), strings.NewReader("bread\n"), wrong)
	mismatch, ok := errors.AsType[*hashlib.DigestMismatchError](err)
	fmt.Println(ok, mismatch.Algorithm)

	// Example 3: make it an artifact.
	artifact, err := models.ArtifactFromTemporaryFile(ctx, app.DB(), app.Store(), file)
	if err != nil {
		fmt.Println(err, file.Delete(ctx, app.DB(), app.Store()))
		return
	}
	fmt.Println(artifact.Size)
	// Output:
	// 5 28b3e2ba
	// true sha256
	// 5
}

// importAction is POST <repository>/import/ with a file.
func importAction() rest.Action[Repository] {
	return rest.Do(rest.Operation{Name: "import", File: true, Summary: "Import notes from a file"},
		func(ctx context.Context, r *rest.Request[Repository], _ *rest.Empty) (*rest.Accepted, error) {
			upload := r.Upload()
			if upload == nil {
				return nil, rest.FieldErrors{"file": {"This field is required."}}
			}
			file, err := upload.Temporary(ctx, nil)
			if err != nil {
				return nil, err
			}
			ticket, err := Import.Dispatch(ctx, r.Queue, ImportArgs{models.RefOf(r.Row), file.ID}, nil)
			if err != nil {
				return nil, err
			}
			return r.Accept(ticket), nil
		})
}

// ShoutArgs name one note.
type ShoutArgs struct{ Note models.Ref[Note] }

// Shout prints a note.
var Shout = tasking.Define[ShoutArgs]("note.shout")

// shout is the task [Shout]. The group's report is incremented in the database, so tasks of many workers may do so.
func shout(ctx context.Context, env *tasking.Env, a ShoutArgs) error {
	note, err := Notes.Get(ctx, env.DB, a.Note)
	if err != nil {
		return err
	}
	fmt.Println(strings.ToUpper(note.Title))
	return env.Group.Progress("note.shouting").Add(ctx, 1)
}

// shoutAction is POST <repository>/shout/, which dispatches a task for each note.
func shoutAction() rest.Action[Repository] {
	return rest.Post("shout", func(
		ctx context.Context, r *rest.Request[Repository], _ *rest.Empty,
	) (*rest.AcceptedGroup, error) {
		version, err := models.LatestVersion(ctx, r.DB, r.Row.ID)
		if err != nil {
			return nil, err
		}
		notes, err := Notes.List(ctx, r.DB, models.InVersion(version), models.OrderBy("title"))
		if err != nil {
			return nil, err
		}
		var args []ShoutArgs
		for _, note := range notes {
			args = append(args, ShoutArgs{models.RefOf(note)})
		}
		tasks, err := Shout.DispatchGroup(ctx, r.Queue, "Shouting", args,
			group.Report{Message: "Shouting notes", Code: "note.shouting"})
		if err != nil {
			return nil, err
		}
		return r.AcceptGroup(tasks), nil
	})
}

func Example_tasks() {
	app := open(Plugin())
	defer app.close()
	repository := app.send("POST", "/pulp/api/v3/repositories/note/note/", `{"name": "list"}`)
	href := field(repository, "pulp_href")
	res := app.upload(href+"import/", "milk\nbread\n")
	task := app.send("GET", field(res, "task"), "")
	fmt.Println(res.Code, field(task, "state"), strings.Contains(task.Body.String(), `"done":2`))

	res = app.send("POST", href+"shout/", "")
	group := app.send("GET", field(res, "task_group")+"?fields=completed,group_progress_reports", "")
	fmt.Println(res.Code, group.Body)
	// Output:
	// 202 completed true
	// BREAD
	// MILK
	// 202 {"completed":2,"group_progress_reports":[{"message":"Shouting notes","code":"note.shouting","total":2,"done":2,"suffix":null}]}
}
