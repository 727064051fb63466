package models_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/storagetest"
)

// installation is a database and a folder of artifacts, which are opened with lists of allowed checksums.
type installation struct{ url, dir string }

func (i installation) open(t *testing.T, allowed ...string) (*models.DB, *storage.Store) {
	t.Helper()
	sums, err := hashlib.Allow(allowed...)
	noError(t, err)
	db := modelstest.Open(t, i.url, &models.DBOptions{Checksums: sums}, testSet())
	return db, openStore(t, i.dir, &storage.Options{Checksums: sums})
}

func (i installation) remove(t *testing.T, a *models.Artifact) {
	t.Helper()
	noError(t, os.Remove(i.path(a)))
}

func (i installation) path(a *models.Artifact) string {
	return filepath.Join(i.dir, filepath.FromSlash(a.Key()))
}

func eachInstallation(t *testing.T, fn func(t *testing.T, i installation)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, installation{url, filepath.Join(t.TempDir(), "media")})
	})
}

// putArtifacts stores n artifacts.
func putArtifacts(t *testing.T, db *models.DB, store *storage.Store, n int) []*models.Artifact {
	t.Helper()
	list := make([]*models.Artifact, n)
	for i := range list {
		list[i] = putArtifact(t, db, store, fmt.Sprintf("artifact %09d", serial.Add(1)))
	}
	return list
}

// digests returns the present digests of an artifact.
func digests(t *testing.T, db *models.DB, a *models.Artifact) hashlib.Digests {
	t.Helper()
	row := new(models.Artifact)
	noError(t, db.Bun().NewSelect().Model(row).Where("a.pulp_id = ?", a.ID).Scan(t.Context()))
	return row.Digests
}

func report(t *testing.T, db *models.DB) *models.ChecksumReport {
	t.Helper()
	r, err := models.ReportChecksums(t.Context(), db)
	noError(t, err)
	return r
}

func TestChecksumsOfAnotherList(t *testing.T) {
	eachInstallation(t, func(t *testing.T, i installation) {
		ctx := t.Context()
		old, oldStore := i.open(t, "sha256", "md5")
		noError(t, models.RequireChecksums(ctx, old))
		artifacts := putArtifacts(t, old, oldStore, 5)
		db, store := i.open(t, "sha256", "sha512", "sha224")
		err := models.RequireChecksums(ctx, db)
		wantKind(t, err, pulperr.Invalid, "(sha512, sha256, sha224): of 5 artifacts 5 lack sha512, 5 lack sha224, 5 have md5. "+
			"Run the command of this program that calls models.FixChecksums (fileserver fix-checksums), or set it back to "+
			"sha256, md5")
		if err := models.RequireChecksums(ctx, old); err != nil {
			t.Errorf("with the list set back: %v", err)
		}
		r := report(t, db)
		if r.OK() || r.Artifacts != 5 || r.Lacking != 5 || r.Forbidden != 5 || r.LackingBytes != 5*artifacts[0].Size {
			t.Errorf("report = %+v", r)
		}
		var last models.ChecksumProgress
		calls := 0
		done, err := models.FixChecksums(ctx, db, store, &models.ChecksumFixOptions{
			Batch: 2, Progress: func(p models.ChecksumProgress) { last = p; calls++ },
		})
		want := models.ChecksumProgress{Done: 5, Total: 5, DoneBytes: r.LackingBytes, TotalBytes: r.LackingBytes, Filled: 5}
		if err != nil || done != want || last != want || calls != 3 {
			t.Errorf("FixChecksums = %+v, %v after %d calls of Progress, want %+v", done, err, calls, want)
		}
		for _, a := range artifacts {
			object, err := store.Digest(ctx, a.Key())
			noError(t, err)
			if got := digests(t, db, a); got != object.Digests || got.MD5 != "" || got.SHA224 == "" {
				t.Errorf("digests = %+v, want %+v", got, object.Digests)
			}
		}
		noError(t, models.RequireChecksums(ctx, db))
		if r := report(t, db); !r.OK() || r.String() != "" {
			t.Errorf("report after the fix: %v", r)
		}
		if done, err := models.FixChecksums(ctx, db, store, nil); err != nil || done != (models.ChecksumProgress{}) {
			t.Errorf("second FixChecksums = %+v, %v", done, err)
		}

		// A shorter list needs no bytes.
		shorter, shorterStore := i.open(t, "sha256")
		wantKind(t, models.RequireChecksums(ctx, shorter), pulperr.Invalid, "5 have sha512, 5 have sha224")
		for _, a := range artifacts {
			i.remove(t, a)
		}
		done, err = models.FixChecksums(ctx, shorter, shorterStore, nil)
		if want := (models.ChecksumProgress{Done: 5, Total: 5, Cleared: 5}); err != nil || done != want {
			t.Errorf("FixChecksums of a shorter list = %+v, %v, want %+v", done, err, want)
		}
		noError(t, models.RequireChecksums(ctx, shorter))
	})
}

// While the list is the same, a start does not look at artifacts, but for one start an hour after a change.
func TestRequireChecksumsLooksOnce(t *testing.T) {
	eachInstallation(t, func(t *testing.T, i installation) {
		ctx := t.Context()
		db, _ := i.open(t, "sha256", "md5")
		require := func() (err error, looked bool) {
			err = models.RequireChecksums(ctx, models.WithHook(db, seeing(func(q string) {
				looked = looked || strings.Contains(q, "core_artifact")
			})))
			return err, looked
		}
		hoursAgo := func(since, checked int) {
			_, err := db.Bun().ExecContext(ctx, "UPDATE core_checksumpolicy SET since = ?, checked = ?",
				models.Now().Add(-time.Duration(since)*time.Hour), models.Now().Add(-time.Duration(checked)*time.Hour))
			noError(t, err)
		}
		for _, step := range []struct {
			name   string
			before func()
			looks  bool
		}{
			{"first start", func() {}, true},
			{"next start", func() {}, false},
			{"an hour later", func() { hoursAgo(2, 2) }, true},
			{"a later start", func() {}, false},
			{"a year later", func() { hoursAgo(9000, 8000) }, false},
		} {
			step.before()
			if err, looked := require(); err != nil || looked != step.looks {
				t.Errorf("%s: %v, looked at artifacts: %t, want %t", step.name, err, looked, step.looks)
			}
		}
		// A process with the old list has saved an artifact after the check of the new one.
		late, store := i.open(t, "sha256")
		putArtifacts(t, late, store, 1)
		hoursAgo(2, 2)
		if err, _ := require(); err == nil || strings.Contains(pulperr.Message(err), "set it back") {
			t.Errorf("an hour later: %v, want a fault without a list to go back to", err)
		}
	})
}

func TestFixChecksumsLeavesBrokenArtifacts(t *testing.T) {
	eachInstallation(t, func(t *testing.T, i installation) {
		ctx := t.Context()
		old, oldStore := i.open(t, "sha256", "md5")
		list := putArtifacts(t, old, oldStore, 4)
		gone, wrong, short := list[0], list[1], list[2]
		i.remove(t, gone)
		body, err := os.ReadFile(i.path(wrong))
		noError(t, err)
		for a, bytes := range map[*models.Artifact]string{wrong: strings.ToUpper(string(body)), short: "x"} {
			i.remove(t, a)
			noError(t, os.WriteFile(i.path(a), []byte(bytes), 0o600))
		}
		db, store := i.open(t, "sha256", "sha512")
		broken := map[string]error{}
		done, err := models.FixChecksums(ctx, db, store, &models.ChecksumFixOptions{
			Broken: func(a *models.Artifact, err error) { broken[a.SHA256] = err },
		})
		wantKind(t, err, pulperr.Conflict, "the bytes of 3 artifacts are missing or wrong")
		if done.Broken != 3 || done.Filled != 1 || done.Done != 4 || len(broken) != 3 {
			t.Errorf("FixChecksums = %+v, and reports %v", done, broken)
		}
		_, digest := errors.AsType[*hashlib.DigestMismatchError](broken[wrong.SHA256])
		_, size := errors.AsType[*hashlib.SizeMismatchError](broken[short.SHA256])
		if !errors.Is(broken[gone.SHA256], pulperr.NotFound) || !digest || !size {
			t.Errorf("reported: %v", broken)
		}
		for _, a := range list[:3] {
			if got := digests(t, db, a); got != a.Digests {
				t.Errorf("digests of a broken artifact = %+v, want %+v", got, a.Digests)
			}
		}
		wantKind(t, models.RequireChecksums(ctx, db), pulperr.Invalid, "3 lack sha512, 3 have md5")
		noError(t, os.WriteFile(i.path(wrong), body, 0o600))
		if done, _ := models.FixChecksums(ctx, db, store, nil); done.Filled != 1 || done.Broken != 2 {
			t.Errorf("with the bytes of one put back: %+v", done)
		}
	})
}

// A store that does not answer says nothing about artifacts; a deleted artifact is none to report.
func TestFixChecksumsFaults(t *testing.T) {
	eachInstallation(t, func(t *testing.T, i installation) {
		ctx := t.Context()
		old, oldStore := i.open(t, "sha256")
		list := putArtifacts(t, old, oldStore, 3)
		db, store := i.open(t, "sha256", "sha512")
		_, err := models.FixChecksums(ctx, db, oldStore, nil)
		wantKind(t, err, pulperr.Invalid, "the store computes the checksums [sha256]")

		down := openStore(t, i.dir, &storage.Options{
			Checksums: db.Checksums(), Intercept: storagetest.Fail(storage.OpOpen, 2, errors.New("down")),
		})
		done, err := models.FixChecksums(ctx, db, down, &models.ChecksumFixOptions{Batch: 1})
		if pulperr.KindOf(err) != pulperr.Unavailable || done.Filled != 1 || done.Broken != 0 {
			t.Errorf("with a store that is down: %+v, %v", done, err)
		}
		i.remove(t, list[1])
		_, err = db.Bun().ExecContext(ctx, "DELETE FROM core_artifact WHERE pulp_id = ?", list[1].ID)
		noError(t, err)
		if done, err := models.FixChecksums(ctx, db, store, nil); err != nil || done.Filled != 1 || done.Broken != 0 {
			t.Errorf("afterwards: %+v, %v", done, err)
		}
	})
}

// Digests of files at remotes are counted, and reach plugins as far as they are allowed.
func TestChecksumsOfRemotes(t *testing.T) {
	eachInstallation(t, func(t *testing.T, i installation) {
		ctx := t.Context()
		old, _ := i.open(t, "sha256", "md5")
		remote := newRemote("far")
		noError(t, remotes.Create(ctx, old, remote))
		units, cas := newFiles(t, old, "a", "b", "c")
		var rows []*models.RemoteArtifact
		for n, d := range []hashlib.Digests{{MD5: strings.Repeat("0", 32)}, {MD5: strings.Repeat("1", 32)}, {}} {
			rows = append(rows, &models.RemoteArtifact{
				ContentArtifactID: cas[n], RemoteID: remote.ID, URL: fmt.Sprint("http://x.example/", n), Digests: d,
			})
		}
		rows[1].SHA256 = strings.Repeat("2", 64)
		noError(t, models.SaveRemoteArtifacts(ctx, old, rows))
		db, _ := i.open(t, "sha256")
		if r := report(t, db); !r.OK() || r.Unverifiable != 1 {
			t.Errorf("report = %+v, want 1 unverifiable source", r)
		}
		repo := newRepo(t, old)
		v := add(t, old, repo, units...)
		for f, err := range v.Files(ctx, db) {
			if noError(t, err); f.MD5 != "" || (f.SHA256 != "") != (f.RelativePath == "b") {
				t.Errorf("digests of %s = %+v, want allowed ones alone", f.RelativePath, f.Digests)
			}
		}
		if r := report(t, old); r.Unverifiable != 0 {
			t.Errorf("report with the old list = %+v", r)
		}
	})
}

const childEnv = "PULP_TEST_FIX_CHECKSUMS"

// TestFixChecksumsChild is the process that TestFixChecksumsAfterKill kills.
func TestFixChecksumsChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("only TestFixChecksumsAfterKill runs it, in a process of its own")
	}
	url, dir, _ := strings.Cut(os.Getenv(childEnv), "\n")
	db, store := installation{url, dir}.open(t, "sha256", "sha512")
	_, err := models.FixChecksums(t.Context(), db, store, &models.ChecksumFixOptions{
		Batch: 3, Progress: func(p models.ChecksumProgress) {
			if fmt.Println("done", p.Done); p.Done == 6 {
				<-t.Context().Done()
			}
		},
	})
	t.Errorf("FixChecksums returned: %v", err)
}

func TestFixChecksumsAfterKill(t *testing.T) {
	eachInstallation(t, func(t *testing.T, i installation) {
		old, oldStore := i.open(t, "sha256", "md5")
		list := putArtifacts(t, old, oldStore, 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestFixChecksumsChild$") //nolint:gosec // ourselves
		child.Env = append(os.Environ(), childEnv+"="+i.url+"\n"+i.dir)
		out, err := child.StdoutPipe()
		noError(t, err)
		noError(t, child.Start())
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "done 6"; {
		}
		noError(t, child.Process.Kill())
		_ = child.Wait()

		db, store := i.open(t, "sha256", "sha512")
		wantKind(t, models.RequireChecksums(t.Context(), db), pulperr.Invalid, "of 10 artifacts 4 lack sha512, 4 have md5")
		done, err := models.FixChecksums(t.Context(), db, store, nil)
		if err != nil || done.Filled != 4 || done.Total != 4 {
			t.Errorf("FixChecksums after a kill = %+v, %v, want the 4 that are left", done, err)
		}
		for _, a := range list {
			if got := digests(t, db, a); got.SHA512 == "" || got.MD5 != "" {
				t.Errorf("digests = %+v", got)
			}
		}
		noError(t, models.RequireChecksums(t.Context(), db))
	})
}
