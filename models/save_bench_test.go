package models_test

import (
	"fmt"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
)

// BenchmarkSaveContents saves 1,000 units of one file each at a time: new ones, and ones that exist.
func BenchmarkSaveContents(b *testing.B) {
	const n = 1000
	for _, d := range dbtest.URLs(b) {
		b.Run(d.Name, func(b *testing.B) {
			db := open(b, d.URL)
			round := 0
			save := func(b *testing.B, round int) {
				units := make([]*models.ContentWithFiles, n)
				for i := range units {
					path := fmt.Sprint("round ", round, "/file ", i)
					units[i] = &models.ContentWithFiles{
						Content: &File{Path: path, Digest: path}, Files: []models.ContentFile{{RelativePath: path}},
					}
				}
				if err := models.SaveContents(b.Context(), db, units); err != nil {
					b.Fatal(err)
				}
			}
			b.Run("new", func(b *testing.B) {
				for b.Loop() {
					round++
					save(b, round)
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "units/s")
			})
			b.Run("existing", func(b *testing.B) {
				save(b, 0)
				for b.Loop() {
					save(b, 0)
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "units/s")
			})
		})
	}
}
