package lookup_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/storage"
)

// newFiles makes one unit with one file for each path, and returns units and files.
func newFiles(t testing.TB, db *models.DB, paths ...string) (ids, files []uuid.UUID) {
	t.Helper()
	units := make([]*models.ContentWithFiles, len(paths))
	for i, p := range paths {
		units[i] = &models.ContentWithFiles{
			Content: &Note{Text: fmt.Sprint(serial.Add(1))}, Files: []models.ContentFile{{RelativePath: p}},
		}
	}
	if err := models.SaveContents(t.Context(), db, units); err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		ids, files = append(ids, u.Content.PulpID()), append(files, u.Files[0].ID)
	}
	return ids, files
}

// level is what a folder holds, computed the plain way.
func level(paths []string, folder string) []string {
	var names []string
	for _, p := range paths {
		if rest, ok := strings.CutPrefix(p, folder); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				rest = rest[:i+1]
			}
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestListAgainstModel(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		const seed = 7
		rnd := rand.New(rand.NewPCG(seed, seed))
		random := func(n int) []string {
			var paths []string
			for range n {
				var segments []string
				for range 1 + rnd.IntN(3) {
					segments = append(segments, []string{"a", "a-b", "a0", "B", "é", "b", "c d"}[rnd.IntN(7)])
				}
				paths = append(paths, strings.Join(segments, "/"))
			}
			slices.Sort(paths)
			return slices.Compact(paths)
		}
		other, _ := newFiles(t, db, random(60)...)
		add(t, db, newRepo(t, db), other...)
		paths, published := random(60), random(30)
		published = slices.DeleteFunc(published, func(p string) bool { // none is the folder of another
			return slices.ContainsFunc(published, func(other string) bool { return strings.HasPrefix(other, p+"/") })
		})
		ids, _ := newFiles(t, db, paths...)
		v := add(t, db, newRepo(t, db), ids...)
		_, publishedFiles := newFiles(t, db, published...)
		pub := &Publication{}
		pub.RepositoryVersionID = v.ID
		err := models.Publish(t.Context(), db, nil, pub, func(p *models.NewPublication) error {
			for i, path := range published {
				err := p.Add(t.Context(), &models.PublishedArtifact{ContentArtifactID: publishedFiles[i], RelativePath: path})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		version := lookup.Source{VersionID: v.ID, RepositoryID: v.RepositoryID, Number: v.Number}
		publication := version
		publication.PublicationID = &pub.ID
		through := publication
		through.PassThrough = true
		for _, side := range []struct {
			name   string
			source *lookup.Source
			paths  []string
		}{
			{"version", &version, paths},
			{"publication", &publication, published},
			{"pass-through", &through, slices.Concat(paths, published)},
		} {
			for _, folder := range []string{"", "a/", "a/a/", "é/", "nothing/"} {
				want := level(side.paths, folder)
				for _, byPath := range []bool{true, false} {
					for _, batch := range []int{1, 2, 7, 1000} {
						var got []string
						after, limit := "", 1+rnd.IntN(5)
						for {
							page, err := side.source.ListPlanned(t.Context(), db, folder, after, limit, byPath, batch)
							if err != nil {
								t.Fatal(err)
							}
							for _, e := range page.Entries {
								got = append(got, e.Name)
							}
							if after = page.After; after == "" {
								break
							}
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Fatalf("%s %q by path %v in batches of %d, pages of %d, seed %d (-want +got):\n%s",
								side.name, folder, byPath, batch, limit, seed, diff)
						}
					}
				}
				if folder == "" {
					continue
				}
				has, err := side.source.HasFolder(t.Context(), db, strings.TrimSuffix(folder, "/"))
				if err != nil || has != (len(want) > 0) {
					t.Errorf("%s HasFolder(%q) = %v, %v; want %v", side.name, folder, has, err, len(want) > 0)
				}
			}
		}
	})
}

// A large version, and a small one beside it, are walked in different ways.
func TestListOfManyFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 25,000 units")
	}
	each(t, func(t *testing.T, db *models.DB) {
		var paths []string
		for i := range 25_000 {
			paths = append(paths, fmt.Sprintf("d%02d/f%05d", i%50, i))
		}
		ids, _ := newFiles(t, db, paths...)
		large := add(t, db, newRepo(t, db), ids...)
		small := add(t, db, newRepo(t, db), ids[:120]...)
		for _, v := range []*models.RepositoryVersion{large, small} {
			s := lookup.Source{VersionID: v.ID, RepositoryID: v.RepositoryID, Number: v.Number}
			page, err := s.List(t.Context(), db, "", "", 49)
			if err != nil || len(page.Entries) != 49 || page.After != "d48/" {
				t.Errorf("List = %d entries, after %q, %v", len(page.Entries), page.After, err)
			}
			if page, err = s.List(t.Context(), db, "", page.After, 49); err != nil || len(page.Entries) != 1 {
				t.Errorf("second page = %+v, %v", page, err)
			}
			want := 500
			if v == small {
				want = 3 // of units 0 to 119: 7, 57 and 107
			}
			if page, err = s.List(t.Context(), db, "d07", "", 1000); err != nil || len(page.Entries) != want {
				t.Errorf("List(d07) = %d entries, %v", len(page.Entries), err)
			}
		}
	})
}

func TestLookupDistribution(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		l := lookup.New(db)
		defer l.Close()
		deep := strings.TrimSuffix(strings.Repeat("d/", 100), "/")
		for _, base := range []string{"a", "b/c", "b/cc", deep} {
			d := &Distribution{}
			d.Name, d.BasePath = base, base
			if err := distributions.Create(t.Context(), db, d); err != nil {
				t.Fatal(err)
			}
		}
		for path, want := range map[string]string{
			"a": "a", "a/x": "a", "a/b/c": "a", "aa": "", "b": "", "b/c": "b/c", "b/c/d": "b/c", "b/cc": "b/cc", "b/ccc": "",
			deep: deep, deep + "/x": deep, deep[:len(deep)-2]: "", "x" + strings.Repeat("/x", 500): "", "": "", "'; --": "",
		} {
			m, err := l.Distribution(t.Context(), path)
			switch {
			case want == "" && !errors.Is(err, pulperr.NotFound):
				t.Errorf("Distribution(%q) = %v, want NotFound", path, err)
			case want != "" && (err != nil || m.Distribution.AsDistribution().BasePath != want):
				t.Errorf("Distribution(%q) = %+v, %v, want %q", path, m, err, want)
			}
		}
	})
}

func TestRemoteSources(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		_, files := newFiles(t, db, "f")
		var rows []*models.RemoteArtifact
		for i := range 3 {
			r := &Remote{}
			r.Name, r.URL, r.Password = fmt.Sprint(i), "https://example.org/", secrets.NewEncryptedText("secret")
			if err := remotes.Create(t.Context(), db, r); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, &models.RemoteArtifact{
				ContentArtifactID: files[0], RemoteID: r.ID, URL: fmt.Sprint("https://example.org/", i),
				Digests: hashlib.SHA256Hex(strings.Repeat("ab", 32)), Size: hashlib.Size(int64(i)),
			})
		}
		if err := models.SaveRemoteArtifacts(t.Context(), db, rows); err != nil {
			t.Fatal(err)
		}
		urls := func(failedAfter time.Time) []string {
			found, err := lookup.RemoteSources(t.Context(), db, files[0], failedAfter)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, s := range found {
				out = append(out, s.URL)
			}
			slices.Sort(out)
			return out
		}
		hourAgo, soon := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		if got := urls(hourAgo); len(got) != 3 {
			t.Errorf("RemoteSources = %v", got)
		}
		found, err := lookup.RemoteSources(t.Context(), db, files[0], hourAgo)
		if err != nil || *found[0].Expect().Size != *found[0].Size || found[0].SHA256 == "" {
			t.Fatalf("RemoteSources = %+v, %v", found, err)
		}
		r, err := found[0].Remote(t.Context(), db)
		if err != nil || r.AsRemote().Password.Reveal() != "secret" {
			t.Errorf("Remote = %+v, %v", r, err)
		}
		if err := found[0].MarkFailed(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if got := urls(hourAgo); len(got) != 2 || slices.Contains(got, found[0].URL) {
			t.Errorf("RemoteSources within the cool-down = %v", got)
		}
		if got := urls(soon); len(got) != 3 {
			t.Errorf("RemoteSources after the cool-down = %v", got)
		}
	})
}

// Rows that overlap all the same, written by another program, are served by the one that says more.
func TestLookupPrefersTheLongestBasePath(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		for _, d := range []*Distribution{newDistribution("deep", "p/q"), newDistribution("flat", "z")} {
			if err := distributions.Create(ctx, db, d); err != nil {
				t.Fatal(err)
			}
		}
		_, err := db.Bun().ExecContext(ctx, "UPDATE core_distribution SET base_path = 'p' WHERE name = 'flat'")
		if err != nil {
			t.Fatal(err)
		}
		l := lookup.New(db)
		defer l.Close()
		for path, want := range map[string]string{"p/q/r": "deep", "p/q": "deep", "p/x": "flat"} {
			m, err := l.Distribution(ctx, path)
			if err != nil || m.Distribution.AsDistribution().Name != want {
				t.Errorf("Distribution(%q) = %v, %v, want %s", path, m, err, want)
			}
		}
	})
}

// A file at a remote is served by its artifact once it has one, and keeps it.
func TestFileWithAttachedArtifact(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		store, err := storage.Open(t.Context(), "mem://", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		_, files := newFiles(t, db, "f")
		if f, err := lookup.FileByContentArtifact(t.Context(), db, files[0]); err != nil || f.ArtifactID != nil || f.Expect().Size != nil {
			t.Errorf("FileByContentArtifact = %+v, %v", f, err)
		}
		obj, err := store.PutArtifact(t.Context(), strings.NewReader("bytes"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var savers sync.WaitGroup
		for range 8 {
			savers.Go(func() {
				a := &models.Artifact{Size: obj.Size, Digests: obj.Digests}
				if err := models.AttachArtifact(t.Context(), db, store, files[0], a); err != nil {
					t.Errorf("AttachArtifact = %v", err)
				}
			})
		}
		savers.Wait()
		f, err := lookup.FileByContentArtifact(t.Context(), db, files[0])
		if err != nil || f.ArtifactID == nil || f.SHA256 != obj.Digests.SHA256 || f.Size != 5 || f.Stored.IsZero() {
			t.Fatalf("FileByContentArtifact = %+v, %v", f, err)
		}
		second, err := store.PutArtifact(t.Context(), strings.NewReader("others"), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = models.AttachArtifact(t.Context(), db, store, files[0], &models.Artifact{Size: second.Size, Digests: second.Digests})
		again, err2 := lookup.FileByContentArtifact(t.Context(), db, files[0])
		if err != nil || err2 != nil || *again.ArtifactID != *f.ArtifactID {
			t.Errorf("a content artifact changed its artifact: %v, %v", err, err2)
		}
		gone := models.NewID()
		a := &models.Artifact{Size: obj.Size, Digests: obj.Digests}
		if err := models.AttachArtifact(t.Context(), db, store, gone, a); err != nil {
			t.Errorf("AttachArtifact of deleted content = %v", err)
		}
		if _, err := lookup.FileByContentArtifact(t.Context(), db, gone); !errors.Is(err, pulperr.NotFound) {
			t.Errorf("FileByContentArtifact of deleted content = %v, want NotFound", err)
		}
	})
}
