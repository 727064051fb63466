package pulpcore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

type (
	// inbox is a repository to which clients send files.
	inbox struct{ models.Repository }
	// letter is the body of a request, besides the file.
	letter struct {
		SHA256 string `json:"sha256" rest:"blank" doc:"What the file must be."`
		What   string `json:"what" doc:"What the task does with it: keep, refuse or forget."`
	}
	openArgs struct {
		File uuid.UUID // of a temporary file
		What string
	}
)

var (
	inboxes    = models.Define[inbox]("inbox.inbox")
	openLetter = tasking.Define[openArgs]("inbox.open")
)

// receive runs in the request: it stores the file and hands it to a task, which another process may execute.
func receive(ctx context.Context, r *rest.Request[inbox], in *letter) (*rest.Accepted, error) {
	if r.Upload() == nil {
		return nil, rest.FieldErrors{"file": {"No file was submitted."}}
	}
	var expect *hashlib.Expect
	if in.SHA256 != "" {
		expect = &hashlib.Expect{Digests: hashlib.SHA256Hex(in.SHA256)}
	}
	temp, err := r.Upload().Temporary(ctx, expect)
	if err != nil {
		return nil, err
	}
	ticket, err := openLetter.Dispatch(ctx, r.Queue, openArgs{temp.ID, in.What}, nil)
	if err != nil {
		// No task will come for the file.
		return nil, errors.Join(err, temp.Delete(ctx, r.DB, r.Store))
	}
	return r.Accept(ticket), nil
}

// open runs in the task: it reads the file and makes an artifact of it, or deletes it.
func open(ctx context.Context, env *tasking.Env, a openArgs) (err error) {
	temp, err := models.GetTemporaryFile(ctx, env.DB, a.File)
	if err != nil {
		return err
	}
	if a.What == "forget" {
		return nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, temp.Delete(ctx, env.DB, env.Store))
		}
	}()
	bytes, err := temp.Open(ctx, env.Store)
	if err != nil {
		return err
	}
	defer bytes.Close()
	text, err := io.ReadAll(io.LimitReader(bytes, 1<<10))
	if err != nil {
		return err
	}
	if a.What == "refuse" {
		return pulperr.Public(pulperr.Invalid, "the letter %q is refused", text)
	}
	_, err = models.ArtifactFromTemporaryFile(ctx, env.DB, env.Store, temp)
	return err
}

func inboxPlugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name: "inbox", Version: "1", Models: []models.AnyType{inboxes},
		Tasks: []tasking.Binding{openLetter.Bind(open)},
		Views: []rest.View{rest.ViewSet[inbox]{
			Type: inboxes, Name: "inbox",
			Actions: []rest.Action[inbox]{rest.Do(rest.Operation{Name: "receive", File: true}, receive)},
		}},
	}
}

// TestTemporaryFilesBetweenProcesses has one process receive files and another one execute the tasks that use them.
func TestTemporaryFilesBetweenProcesses(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		i := newInstallation(t, url)
		api, worker := i.program(inboxPlugin()), i.program(inboxPlugin())
		href := api.Do(t, "POST", "/pulp/api/v3/repositories/inbox/inbox/", pulptest.JSON(map[string]any{"name": "in"})).
			Want(201).Href()
		const right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of "abc"
		for _, tt := range []struct {
			what, sha256 string
			status       int
			body         string
			state        models.TaskState
			left         int // temporary files after the task
			artifacts    int
		}{
			{"keep", strings.Repeat("0", 64), 400, "The sha256 checksum did not match.", "", 0, 0},
			{"keep", "12", 400, "sha256", "", 0, 0},
			{"refuse", right, 202, "", models.Failed, 0, 0},
			{"forget", "", 202, "", models.Completed, 1, 0},
			{"keep", right, 202, "", models.Completed, 1, 1},
			{"keep", "", 202, "", models.Completed, 1, 1},
		} {
			res := api.Do(t, "POST", href+"receive/", pulptest.File("file", "letter", "abc"),
				pulptest.Field("what", tt.what), pulptest.Field("sha256", tt.sha256))
			if res.Status != tt.status || !strings.Contains(res.Body, tt.body) {
				t.Fatalf("%s with sha256 %q = %d %s, want %d %s", tt.what, tt.sha256, res.Status, res.Body, tt.status, tt.body)
			}
			if res.Status == http.StatusAccepted {
				done, _ := worker.TryAwait(t, res)
				if state := done.Tasks[0].State; state != tt.state {
					t.Errorf("%s: the task is %s %+v, want %s", tt.what, state, done.Tasks[0].Error, tt.state)
				}
			}
			wantStored(t, api, tt.what, tt.left, tt.artifacts)
		}
		// What no task has used expires.
		n, err := models.SweepTemporaryFiles(t.Context(), worker.DB(), worker.Store(), models.Now().Add(-time.Hour))
		if err != nil || n != 0 {
			t.Errorf("SweepTemporaryFiles of old ones = %d, %v, want none", n, err)
		}
		n, err = models.SweepTemporaryFiles(t.Context(), worker.DB(), worker.Store(), models.Now().Add(time.Hour))
		if err != nil || n != 1 {
			t.Errorf("SweepTemporaryFiles = %d, %v, want one", n, err)
		}
		wantStored(t, api, "the sweep", 0, 1)
	})
}

// wantStored counts temporary files and artifacts, rows and bytes.
func wantStored(t *testing.T, app *pulptest.App, after string, temporary, artifacts int) {
	t.Helper()
	stored := func(dir string) (n int) {
		t.Helper()
		for _, err := range app.Store().List(t.Context(), dir) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	files := 0
	for i := range 256 {
		files += stored(fmt.Sprintf("artifact/%02x", i))
	}
	for _, tt := range []struct {
		what        string
		model       any
		files, want int
	}{
		{"temporary files", (*models.TemporaryFile)(nil), stored("tmp"), temporary},
		{"artifacts", (*models.Artifact)(nil), files, artifacts},
	} {
		rows, err := app.DB().Bun().NewSelect().Model(tt.model).Count(t.Context())
		if err != nil || rows != int64(tt.want) || tt.files != tt.want {
			t.Errorf("after %s there are %d rows, %v, and %d files of %s, want %d", after, rows, err, tt.files, tt.what, tt.want)
		}
	}
}

// exampleApp opens an App in a new folder, and returns what closes and removes both.
func exampleApp(ctx context.Context) (*pulpcore.App, func(), error) {
	dir, err := os.MkdirTemp("", "pulpcore-example-")
	if err != nil {
		return nil, nil, err
	}
	set, err := quiet(dir)
	if err != nil {
		return nil, nil, err
	}
	app, err := pulpcore.Open(ctx, set)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return app, func() { _ = errors.Join(app.Close(), os.RemoveAll(dir)) }, nil
}

// Example_temporaryFile makes temporary files and an artifact. In a plugin the database and the store are those of the
// request (rest.Request) or of the task (tasking.Env), and a file that a client sends becomes a temporary one by
// rest.Upload.Temporary.
func Example_temporaryFile() {
	ctx := context.Background()
	app, remove, err := exampleApp(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer remove()
	db, store := app.DB(), app.Store()

	// Save a temporary file.
	temp, err := models.NewTemporaryFile(ctx, db, store, strings.NewReader("abc"), nil)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(temp.Size, temp.Digests.SHA256[:8])

	// Validate the digest and save.
	expect := &hashlib.Expect{Digests: hashlib.SHA256Hex(strings.Repeat("0", 64))}
	_, err = models.NewTemporaryFile(ctx, db, store, strings.NewReader("abc"), expect)
	var mismatch *hashlib.DigestMismatchError
	fmt.Println(errors.As(err, &mismatch), errors.Is(err, pulperr.Invalid))

	// Make an artifact of it. On an error the temporary file is still there.
	artifact, err := models.ArtifactFromTemporaryFile(ctx, db, store, temp)
	if err != nil {
		log.Print(errors.Join(err, temp.Delete(ctx, db, store)))
		return
	}
	_, err = models.GetTemporaryFile(ctx, db, temp.ID)
	fmt.Println(storage.ArtifactKey(artifact.SHA256)[:11], errors.Is(err, pulperr.NotFound))
	// Output:
	// 3 ba7816bf
	// true true
	// artifact/ba true
}
