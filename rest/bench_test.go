package rest_test

import (
	"fmt"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
)

func BenchmarkListPage100(b *testing.B) {
	for _, d := range dbtest.URLs(b) {
		b.Run(d.Name, func(b *testing.B) {
			api := setup(b, d.URL, nil)
			for i := range 100 {
				api.create("repositories/file/file/", map[string]any{"name": fmt.Sprint(i)})
			}
			b.ReportAllocs()
			for b.Loop() {
				api.do("GET", "repositories/file/file/", nil).want(200)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, d := range dbtest.URLs(b) {
		b.Run(d.Name, func(b *testing.B) {
			api := setup(b, d.URL, nil)
			repo := api.create("repositories/file/file/", map[string]any{"name": "r"})
			b.ReportAllocs()
			for b.Loop() {
				api.do("GET", repo, nil).want(200)
			}
		})
	}
}

func BenchmarkDocument(b *testing.B) {
	api := setup(b, dbtest.SQLite(b), nil)
	size := len(api.do("GET", "docs/api.json", nil).want(200).body)
	b.SetBytes(int64(size))
	for b.Loop() {
		api.do("GET", "docs/api.json", nil).want(200)
	}
}
