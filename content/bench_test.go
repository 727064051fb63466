package content_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
)

func read(b *testing.B, c *http.Client, url string, size int) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != int64(size) || resp.StatusCode != http.StatusOK {
		b.Fatalf("GET %s = %d, %d bytes, %v", url, resp.StatusCode, n, err)
	}
}

// BenchmarkContentServe serves a stored file from a folder over loopback on each database, with net/http's file server
// beside it as the limit of what is possible.
func BenchmarkContentServe(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		text := body(size)
		dir := b.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		raw := httptest.NewServer(http.FileServer(http.Dir(dir)))
		defer raw.Close()
		benchServe(b, "FileServer", raw.URL+"/f", size)
		for _, db := range dbtest.URLs(b) {
			s := newSite(b, db.URL, &siteOptions{store: b.TempDir()})
			s.distribute("x", s.tree("f", text))
			r := s.tree("f", text)
			v, err := models.LatestVersion(b.Context(), s.db, r.ID)
			s.must(err)
			s.publish(v, true, "meta", "m")
			s.distribute("p", r)
			benchServe(b, "version/"+db.Name, s.url+"/pulp/content/x/f", size)
			benchServe(b, "publication/"+db.Name, s.url+"/pulp/content/p/f", size)
		}
	}
}

func benchServe(b *testing.B, name, url string, size int) {
	b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
		transport := &http.Transport{MaxIdleConnsPerHost: 16}
		defer transport.CloseIdleConnections()
		c := &http.Client{Transport: transport}
		b.ReportAllocs()
		b.SetBytes(int64(size))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				read(b, c, url, size)
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	})
}

// BenchmarkListing lists a folder of one distribution whose version has many files below it.
func BenchmarkListing(b *testing.B) {
	for _, n := range []int{1000, 20_000, 40_000} {
		b.Run(fmt.Sprintf("of %d files", n), func(b *testing.B) {
			s := newSite(b, sqlite(b), nil)
			r := s.repo()
			units := make([]*models.ContentWithFiles, n)
			for i := range units {
				path := fmt.Sprintf("d%03d/f%06d", i%100, i)
				units[i] = &models.ContentWithFiles{
					Content: &File{Path: path, Digest: fmt.Sprint(i)}, Files: []models.ContentFile{{RelativePath: path}},
				}
			}
			s.must(models.SaveContents(b.Context(), s.db, units))
			ids := make([]uuid.UUID, n)
			for i, u := range units {
				ids[i] = u.Content.PulpID()
			}
			s.version(r, ids...)
			s.distribute("x", r)
			b.ReportAllocs()
			for b.Loop() {
				rec, _ := s.record(b, http.MethodGet, "/pulp/content/x/", http.Header{})
				if len(links(rec.Body.String())) != 101 {
					b.Fatalf("GET = %d %s", rec.Code, rec.Body)
				}
			}
		})
	}
}

// BenchmarkFetch serves a file that is fetched for each request.
func BenchmarkFetch(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			text := body(size)
			s := newSite(b, sqlite(b), &siteOptions{store: b.TempDir()})
			s.absent(models.Streamed, newUpstream(b, sends(text, true)).URL, promise(text))
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				read(b, client, s.url+"/pulp/content/x/f", size)
			}
		})
	}
}
