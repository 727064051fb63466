package worker_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	steps := tasking.Define[noArgs]("test.steps")
	onEach(t, func(t *testing.T, b *bench) {
		no := errors.New("no")
		w := b.worker(worker.Options{Bindings: []tasking.Binding{steps.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				err := env.Progress(ctx, "One", "test.one", func(p *tasking.Progress) error {
					p.SetTotal(3)
					p.AddTotal(1)
					p.SetSuffix("of four")
					p.SetDone(1)
					var wg sync.WaitGroup
					for range 3 {
						wg.Go(func() { p.Add(1) })
					}
					wg.Wait()
					return nil
				})
				if err != nil {
					return err
				}
				return env.Progress(ctx, "Two", "test.two", func(p *tasking.Progress) error {
					p.Add(5)
					return no
				})
			})}})
		ticket, err := steps.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait(ticket.TaskID, models.Failed)
		reports, err := inspect.ProgressReports(t.Context(), b.q.DB(), ticket.TaskID)
		if err != nil || len(reports) != 2 {
			t.Fatalf("ProgressReports() = %v, %v", reports, err)
		}
		one, two := reports[0], reports[1]
		if one.State != models.Completed || one.Done != 4 || *one.Total != 4 || *one.Suffix != "of four" || one.Message != "One" {
			t.Errorf("first report = %+v", one)
		}
		if two.State != models.Failed || two.Done != 5 || two.Total != nil || two.Code != "test.two" {
			t.Errorf("second report = %+v", two)
		}
	})
}

// TestProgressIsThrottled counts writes in fake time.
func TestProgressIsThrottled(t *testing.T) {
	url := dbtest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, url, "")
		busy := tasking.Define[noArgs]("test.busy")
		if _, err := b.db.Bun().NewRaw(`CREATE TABLE writes (done INTEGER)`).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.db.Bun().NewRaw(`CREATE TRIGGER count_writes AFTER UPDATE ON core_progressreport
			BEGIN INSERT INTO writes VALUES (new.done); END`).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := b.worker(worker.Options{ProgressInterval: time.Second, Bindings: []tasking.Binding{busy.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				return env.Progress(ctx, "m", "c", func(p *tasking.Progress) error {
					for range 1050 { // 10.5 s
						p.Add(1)
						<-time.After(10 * time.Millisecond)
					}
					<-time.After(5 * time.Second) // nothing changes, nothing is written, except what was left
					return nil
				})
			})}})
		ticket, err := busy.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait(ticket.TaskID, models.Completed)
		var writes []int64
		if err := b.db.Bun().NewRaw("SELECT done FROM writes").Scan(t.Context(), &writes); err != nil {
			t.Fatal(err)
		}
		if len(writes) != 12 || writes[10] != 1050 || writes[11] != 1050 {
			t.Errorf("writes = %v, want one a second, one after the last change and one at the end", writes)
		}
		_ = b.q.Close()
		_ = b.db.Close()
	})
}

func TestCount(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	items := func(yield func(string, error) bool) {
		for _, item := range []string{"a", "b", "", "c"} {
			err := map[bool]error{true: no}[item == ""]
			if !yield(item, err) {
				return
			}
		}
	}
	for _, tt := range []struct {
		stop string // the item at which the loop is left
		want int64
	}{{"never", 3}, {"a", 0}, {"b", 1}, {"", 2}, {"c", 2}} {
		p := new(tasking.Progress)
		var got []string
		for item, err := range tasking.Count(p, items) {
			if (item == "") != errors.Is(err, no) {
				t.Errorf("item %q comes with %v", item, err)
			}
			if item == tt.stop {
				break
			}
			got = append(got, item)
		}
		if p.Done() != tt.want || tt.stop == "never" && len(got) != 4 {
			t.Errorf("left at %q: %d done, want %d; passed %q", tt.stop, p.Done(), tt.want, got)
		}
	}
}

// TestReportsLeftOpen ends tasks while a goroutine of theirs still reports.
func TestReportsLeftOpen(t *testing.T) {
	t.Parallel()
	open := tasking.Define[string]("test.open")
	onEach(t, func(t *testing.T, b *bench) {
		var left sync.WaitGroup
		leave := make(chan struct{})
		w := b.worker(worker.Options{ProgressInterval: time.Hour, Bindings: []tasking.Binding{open.Bind(
			func(ctx context.Context, env *tasking.Env, end string) error {
				begun := make(chan struct{})
				left.Go(func() {
					_ = env.Progress(ctx, "m", "c", func(p *tasking.Progress) error {
						p.SetDone(7)
						close(begun)
						<-leave
						p.SetDone(8) // too late
						return nil
					})
				})
				<-begun
				switch end {
				case "fail":
					return errors.New("no")
				case "panic":
					panic("no")
				}
				return nil
			})}})
		ends := map[string]models.TaskState{"well": models.Completed, "fail": models.Failed, "panic": models.Failed}
		ids := map[string]*tasking.Ticket{}
		for end := range ends {
			ticket, err := open.Dispatch(t.Context(), b.q, end, nil)
			if err != nil {
				t.Fatal(err)
			}
			ids[end] = ticket
		}
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		check := func(when string) {
			for end, want := range ends {
				reports, err := inspect.ProgressReports(t.Context(), b.q.DB(), ids[end].TaskID)
				if err != nil || len(reports) != 1 || reports[0].State != want || reports[0].Done != 7 {
					t.Errorf("%s, %s: reports = %+v, %v, want %s, 7 done", end, when, reports, err, want)
				}
			}
		}
		check("at once")
		close(leave)
		left.Wait()
		check("later")
	})
}

type remote struct{ models.Remote }

func TestFetch(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "u" || pass != "p" || r.Header.Get("X-Y") != "z" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = w.Write([]byte("bytes"))
	}))
	defer server.Close()
	rm := &remote{models.Remote{
		Name: "r", URL: server.URL, Username: secrets.NewEncryptedText("u"), Password: secrets.NewEncryptedText("p"),
		Headers: []map[string]string{{"X-Y": "z"}},
	}}
	rm.ID = models.NewID()
	fetch := tasking.Define[noArgs]("test.fetch")
	b := setup(t, dbtest.SQLite(t), "")
	w := b.worker(worker.Options{Bindings: []tasking.Binding{fetch.Bind(
		func(ctx context.Context, env *tasking.Env, _ noArgs) error {
			first, err := env.Client(rm)
			if err != nil {
				return err
			}
			if again, err := env.Client(rm); err != nil || again != first {
				t.Errorf("second Client() = %p, %v, want the first, %p", again, err, first)
			}
			res, err := env.Fetch(ctx, rm, server.URL+"/file", &hashlib.Expect{Size: hashlib.Size(5)})
			if err != nil {
				return err
			}
			dir, err := env.WorkDir()
			if err != nil {
				return err
			}
			if got, err := os.ReadFile(res.Path); err != nil || string(got) != "bytes" || filepath.Dir(res.Path) != dir.Name() {
				t.Errorf("fetched %q to %s, %v", got, res.Path, err)
			}
			_, err = env.FetchRequest(ctx, rm, &download.Request{URL: server.URL + "/file", MaxSize: 4})
			if !errors.Is(err, pulperr.TooLarge) {
				t.Errorf("FetchRequest of 5 bytes, at most 4 = %v", err)
			}
			_, err = env.Fetch(ctx, rm, server.URL+"/file", &hashlib.Expect{Size: hashlib.Size(4)})
			return err
		})}})
	ticket, err := fetch.Dispatch(t.Context(), b.q, noArgs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RunPending(t.Context()); err != nil {
		t.Fatal(err)
	}
	if task := b.wait(ticket.TaskID, models.Failed); task.Error.Code != "PLP0004" {
		t.Errorf("error = %+v", task.Error)
	}
}

func TestCreatedResources(t *testing.T) {
	t.Parallel()
	create := tasking.Define[bool]("test.create")
	onEach(t, func(t *testing.T, b *bench) {
		var discarded []string
		w := b.worker(worker.Options{
			Discard: func(_ context.Context, _ *models.DB, prn string) error {
				discarded = append(discarded, prn)
				return nil
			},
			Bindings: []tasking.Binding{create.Bind(func(ctx context.Context, env *tasking.Env, fail bool) error {
				return errors.Join(
					env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return env.Created(ctx, tx, "prn:test.whole:1") }),
					env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
						_, err := tx.Bun().NewInsert().Model(&models.CreatedResource{
							ID: models.NewID(), Created: models.Now(), TaskID: env.Task.ID, PRN: "prn:test.half:1", Incomplete: fail,
						}).Exec(ctx)
						return err
					}),
					map[bool]error{true: errors.New("no")}[fail])
			})},
		})
		for _, fail := range []bool{false, true} {
			discarded = nil
			ticket, err := create.Dispatch(t.Context(), b.q, fail, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.RunPending(t.Context()); err != nil {
				t.Fatal(err)
			}
			made, err := inspect.CreatedResources(t.Context(), b.q.DB(), ticket.TaskID)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range made {
				got = append(got, m.PRN)
			}
			want := "prn:test.whole:1 prn:test.half:1"
			if fail {
				want = "prn:test.whole:1"
			}
			if strings.Join(got, " ") != want || len(discarded) == 1 != fail {
				t.Errorf("fail %t: created %v, discarded %v", fail, got, discarded)
			}
		}
	})
}

func TestTasksStayInTheirDomain(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	where := tasking.Define[noArgs]("test.where")
	var domain string
	w := b.worker(worker.Options{Bindings: []tasking.Binding{where.Bind(
		func(_ context.Context, env *tasking.Env, _ noArgs) error {
			domain = env.DB.Domain().Name
			return nil
		})}})
	ticket, err := where.Dispatch(t.Context(), b.domain("other"), noArgs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.q.Get(t.Context(), ticket.TaskID); !errors.Is(err, pulperr.NotFound) {
		t.Errorf("Get() in another domain = %v, want NotFound", err)
	}
	if _, err := b.q.Cancel(t.Context(), ticket.TaskID); !errors.Is(err, pulperr.NotFound) {
		t.Errorf("Cancel() in another domain = %v, want NotFound", err)
	}
	if err := w.RunPending(t.Context()); err != nil || domain != "other" {
		t.Errorf("the task ran in %q, %v", domain, err)
	}
}

// TestFence takes a task away while its transaction is open.
func TestFence(t *testing.T) {
	t.Parallel()
	taken := tasking.Define[noArgs]("test.taken")
	onEach(t, func(t *testing.T, b *bench) {
		var fenced error
		w := b.worker(worker.Options{Bindings: []tasking.Binding{taken.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				_, err := b.db.Bun().NewRaw("UPDATE core_task SET claim_id = ? WHERE pulp_id = ?", models.NewID(), env.Task.ID).Exec(ctx)
				if err != nil {
					return err
				}
				fenced = env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return env.Created(ctx, tx, "prn:test.x:1") })
				return fenced
			})}})
		ticket, err := taken.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fenced == nil || !strings.Contains(fenced.Error(), "taken from this worker") {
			t.Errorf("transaction of a task that was taken away = %v", fenced)
		}
		if made, err := inspect.CreatedResources(t.Context(), b.q.DB(), ticket.TaskID); err != nil || len(made) != 0 {
			t.Errorf("CreatedResources() = %v, %v", made, err)
		}
		if task := b.get(ticket.TaskID); task.State != models.Running {
			t.Errorf("state = %s, want what the new owner makes of it", task.State)
		}
	})
}
