package models_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
)

const benchUnits = 20000

func benchEach(b *testing.B, fn func(b *testing.B, db *models.DB, units []uuid.UUID)) {
	for _, d := range dbtest.URLs(b) {
		b.Run(fmt.Sprintf("%s/units=%d", d.Name, benchUnits), func(b *testing.B) {
			db := open(b, d.URL)
			fn(b, db, newNotes(b, db, benchUnits))
		})
	}
}

// BenchmarkVersion builds a version that adds all units to an empty repository.
func BenchmarkVersion(b *testing.B) {
	benchEach(b, func(b *testing.B, db *models.DB, units []uuid.UUID) {
		b.ReportAllocs()
		for b.Loop() {
			add(b, db, newRepo(b, db), units...)
		}
		b.ReportMetric(float64(b.N)*benchUnits/b.Elapsed().Seconds(), "units/s")
	})
}

// BenchmarkVersionMirror builds a version from a source that has lost one of many units.
func BenchmarkVersionMirror(b *testing.B) {
	benchEach(b, func(b *testing.B, db *models.DB, units []uuid.UUID) {
		repo := newRepo(b, db)
		add(b, db, repo, units...)
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			n++
			_, _, err := models.CreateVersion(b.Context(), db, repo, nil, func(v *models.NewVersion) error {
				ctx, rest := b.Context(), units[n%benchUnits:]
				if err := v.MarkSeen(ctx, rest); err != nil {
					return err
				}
				missing, err := v.Missing(ctx, rest)
				if err != nil {
					return err
				}
				if _, err := v.Add(ctx, missing); err != nil {
					return err
				}
				_, err = v.RemoveUnseen(ctx)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*benchUnits/b.Elapsed().Seconds(), "units/s")
	})
}

// BenchmarkDeleteVersion squashes the version that added everything into one that changed one unit.
func BenchmarkDeleteVersion(b *testing.B) {
	benchEach(b, func(b *testing.B, db *models.DB, units []uuid.UUID) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			repo := newRepo(b, db)
			first := add(b, db, repo, units[1:]...)
			add(b, db, repo, units[0])
			b.StartTimer()
			if err := models.DeleteVersion(b.Context(), db, first); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkContentPage reads one page of a large version.
func BenchmarkContentPage(b *testing.B) {
	benchEach(b, func(b *testing.B, db *models.DB, units []uuid.UUID) {
		v := add(b, db, newRepo(b, db), units...)
		b.ReportAllocs()
		for b.Loop() {
			list, err := notes.List(b.Context(), db, models.InVersion(v), models.OrderBy("pulp_id"), models.Limit(100),
				models.Offset(5000))
			if err != nil || len(list) != 100 {
				b.Fatal(len(list), err)
			}
		}
	})
}
